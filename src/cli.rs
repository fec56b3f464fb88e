//! The command line: parse, build, run, report; exit codes.
