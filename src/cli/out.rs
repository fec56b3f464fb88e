//! What a command answers, on stdout, and what it says besides, on stderr. A reader that went away
//! (`paylink … | head`) has what it wanted: for it the output ends there, and the command goes on
//! to its end and its exit code.

use std::fmt;
use std::io::{self, Write};

use super::Failure;

/// Stdout, to whose reader nothing more is said once it has gone.
pub(super) struct Out<W>(pub(super) W);

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// A line on stdout.
///
/// # Errors
/// When it cannot be written though somebody reads: a full disk must not swallow a new key.
pub(super) fn say_line(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = Out(io::stdout().lock());
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed("stdout cannot be written", &error))
}

/// A line on stderr. Where nobody can read it, there is nobody to tell.
pub(super) fn note_line(line: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

macro_rules! say {
    ($($line:tt)*) => { $crate::cli::out::say_line(format_args!($($line)*)) };
}
macro_rules! note {
    ($($line:tt)*) => { $crate::cli::out::note_line(format_args!($($line)*)) };
}
pub(super) use {note, say};

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        let write = |kind| {
            let mut out = Out(Broken(kind));
            writeln!(out, "a line").and_then(|()| out.flush())
        };
        assert!(write(io::ErrorKind::BrokenPipe).is_ok());
        assert!(write(io::ErrorKind::StorageFull).is_err());
    }
}
