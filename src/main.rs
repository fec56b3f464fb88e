//! `paylink`: see the README, or `paylink --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    paylink::cli::main()
}
