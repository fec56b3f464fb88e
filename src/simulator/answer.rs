//! What the simulator answers to an API call, and Klarna's way of refusing.
//!
//! A value, so that a fault can throw it away, the log can keep it and a test can look at it. It
//! must not know HTTP's library.

use actix_web::web::Bytes;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

/// Status, headers beyond the type, and a JSON body or none.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// Empty: no body and no content type.
    pub body: Bytes,
}

impl Answer {
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        // What is written here came out of serde_json or has text keys only: it can be written.
        Self::raw(
            status,
            Bytes::from(serde_json::to_vec(body).unwrap_or_default()),
        )
    }

    pub(super) fn raw(status: u16, body: Bytes) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self::raw(status, Bytes::new())
    }

    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A refusal in Klarna's words. Its correlation id is given by whoever answers.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    /// `None`: an empty body, as an expired checkout order has it.
    said: Option<(&'static str, Vec<String>)>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            said: Some((code, vec![message.into()])),
        }
    }

    /// 400 naming every faulty member by its path.
    pub(super) fn bad_values(paths: Vec<String>) -> Self {
        let messages = paths
            .into_iter()
            .map(|path| format!("Bad value: {path}"))
            .collect();
        Self {
            status: 400,
            said: Some(("BAD_VALUE", messages)),
        }
    }

    pub(super) fn bad_value(path: &str) -> Self {
        Self::bad_values(vec![path.to_owned()])
    }

    pub(super) fn malformed() -> Self {
        Self::new(400, "BAD_REQUEST", "Request body is not a JSON object")
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "Resource not found")
    }

    pub(super) fn read_only() -> Self {
        Self::new(403, "READ_ONLY_ORDER", "Resource is read-only")
    }

    /// 404 without a body.
    pub(super) fn gone() -> Self {
        Self {
            status: 404,
            said: None,
        }
    }

    /// The error that Klarna would give for a bare status, for a fault that was asked for.
    pub(super) fn of_status(status: u16) -> Self {
        let (code, message) = match status {
            400 => ("BAD_VALUE", "Bad value: simulated"),
            401 => ("UNAUTHORIZED", "Authentication failed"),
            403 => ("NOT_ALLOWED", "Not allowed"),
            404 => ("NOT_FOUND", "Resource not found"),
            409 => ("CONFLICT", "Conflict"),
            413 => ("REQUEST_TOO_LARGE", "Request too large"),
            422 => ("UNPROCESSABLE_ENTITY", "Unprocessable entity"),
            429 => ("TOO_MANY_REQUESTS", "Too many requests"),
            502..=504 => ("TEMPORARILY_UNAVAILABLE", "Temporarily unavailable"),
            500.. => ("INTERNAL_SERVER_ERROR", "Internal server error"),
            _ => ("UNKNOWN", "Simulated"),
        };
        Self::new(status, code, message)
    }

    pub(super) fn answer(self, correlation: Uuid) -> Answer {
        let bodiless = matches!(self.status, 204 | 304);
        let answer = match self.said {
            Some((code, messages)) if !bodiless => Answer::json(
                self.status,
                &json!({
                    "error_code": code,
                    "error_messages": messages,
                    "correlation_id": correlation.to_string(),
                }),
            ),
            _ => Answer::empty(self.status),
        };
        match self.status {
            401 => answer.with("www-authenticate", "Basic realm=\"klarna\"".to_owned()),
            429 => answer.with("retry-after", "1".to_owned()),
            _ => answer,
        }
    }
}

/// The outcome of an operation.
pub(super) type Outcome = Result<Answer, Refusal>;
