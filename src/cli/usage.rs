//! A wrong command line in one line, as every other error is (`api.md`, Commands).

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, Error};

use super::out::note;

/// Answers what clap has to say: the help that was asked for as it is, a fault in one line.
pub(super) fn answer(error: &Error, command: &Command, args: &[String]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // a reader that went away has seen enough
            drop(error.print());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if args.len() <= 1 => {
            drop(error.print());
            ExitCode::from(2)
        }
        _ => {
            note!("{}", line(error, command, args));
            ExitCode::from(2)
        }
    }
}

fn line(error: &Error, command: &Command, args: &[String]) -> String {
    let path = path(command, args);
    let wrong = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        "a command is missing".to_owned()
    } else {
        // the usage that follows is what --help shows
        let text = error.render().to_string();
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more info"))
            .filter(|line| !line.is_empty())
            .collect();
        let text = lines.join(" ");
        text.strip_prefix("error: ").unwrap_or(&text).to_owned()
    };
    // an argument is echoed, and may hold what a terminal obeys
    let wrong = wrong.replace(char::is_control, " ");
    format!("paylink: {wrong}; see {path} --help")
}

/// The command that was meant, as far as it is one: `paylink keys create`.
fn path(command: &Command, args: &[String]) -> String {
    let mut path = "paylink".to_owned();
    let mut command = command;
    for arg in args.iter().skip(1) {
        let Some(next) = command.find_subcommand(arg) else {
            break;
        };
        path.push(' ');
        path.push_str(next.get_name());
        command = next;
    }
    path
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::Cli;
    use super::*;

    fn said(args: &[&str]) -> String {
        let args: Vec<_> = args.iter().map(|&it| it.to_owned()).collect();
        let error = Cli::try_parse_from(&args).unwrap_err();
        line(&error, &Cli::command(), &args)
    }

    #[test]
    fn a_wrong_command_line_is_told_in_one_line_with_the_help_that_fits() {
        let told = [
            (&["paylink", "fly"][..], "'fly'", "; see paylink --help"),
            (
                &["paylink", "serve", "--fast"],
                "--fast",
                "; see paylink serve --help",
            ),
            (&["paylink", "keys"], "missing", "; see paylink keys --help"),
            (
                &["paylink", "keys", "create"],
                "--name <NAME> --role <ROLE>",
                "; see paylink keys create --help",
            ),
            (
                &["paylink", "keys", "create", "--name", "x", "--role", "king"],
                "supervisor",
                "; see paylink keys create --help",
            ),
            (
                &["paylink", "keys", "revoke", "a\n\u{1b}b"],
                "'a ",
                "; see paylink keys revoke --help",
            ),
            (
                &["paylink", "demo", "--json"],
                "--once",
                "; see paylink demo --help",
            ),
        ];
        for (args, holds, end) in told {
            let line = said(args);
            assert!(line.starts_with("paylink: "), "{line}");
            assert!(line.contains(holds), "{line}");
            assert!(line.ends_with(end), "{line}");
            assert!(!line.contains(char::is_control), "{line}");
            assert!(!line.contains("error:"), "{line}");
        }
    }
}
