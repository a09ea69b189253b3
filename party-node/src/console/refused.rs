//! What the console does not do, as its pages read it. Source: `party-node/console/src/api/common.ts`, `Refusal`.

use hyper::StatusCode;
use serde::Serialize;

use crate::fault::{NodeError, printable};
use crate::http::{self, Reply};

/// The body of a reply whose status is 400 or above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Stable, upper-case.
    pub code: String,
    /// A sentence without row values.
    pub message: String,
    /// What to do instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where in the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A place in a text: both from 1, columns in Unicode scalar values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
}

impl Refused {
    /// Without a place or advice.
    pub fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), hint: None, place: None }
    }

    /// The reply.
    pub fn reply(&self) -> Reply {
        let body = serde_json::to_vec(self).unwrap_or_default();
        http::whole(status(&self.code), "application/json", body)
    }
}

impl From<NodeError> for Refused {
    fn from(error: NodeError) -> Self {
        let NodeError { code, message, hint } = error;
        Self {
            code: code.into_owned(),
            message: printable(&message),
            hint: hint.as_deref().map(printable),
            place: None,
        }
    }
}

/// What kind of refusal it is, to programs that know no codes.
fn status(code: &str) -> StatusCode {
    match code {
        "BAD_REQUEST" => StatusCode::BAD_REQUEST,
        "NOT_LOGGED_IN" | "WRONG_TOKEN" => StatusCode::UNAUTHORIZED,
        "WRONG_ORIGIN" | "WRONG_CSRF" | "NOT_YOURS" | "STEWARD_KEY_NEEDED" => StatusCode::FORBIDDEN,
        "NO_ANSWER" | "PLAN_DIFFERS" | "POLICY_CHANGED" | "OPT_OUT_CHANGED" | "STUDY_ENDED" | "STUDY_CLOSED"
        | "AUDIT_BROKEN" | "LEDGER_ROLLED_BACK" => StatusCode::CONFLICT,
        "ANSWER_GONE" => StatusCode::GONE,
        "BODY_TOO_LONG" => StatusCode::PAYLOAD_TOO_LARGE,
        "NOT_JSON" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "TOO_MANY_TRIES" | "TOO_MANY_JOBS" | "TOO_MANY_STREAMS" | "BUSY" => StatusCode::TOO_MANY_REQUESTS,
        "INTERNAL" | "STATE_FAILED" | "FILE_FAILED" | "LEDGER_DAMAGED" | "BAD_TOKEN_FILE" | "KEY_FILE_OPEN" => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        code if code.starts_with("NO_SUCH_") => StatusCode::NOT_FOUND,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
