//! The whole story over real HTTP and SMTP, for a newcomer's first minute. Never in serve's path.
