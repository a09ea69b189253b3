//! Noise as people ask for it: on the command line, at the console and in plan files.

use query_planner::noise::{Asked, Kind, Mechanism};
use serde::{Deserialize, Serialize};

use crate::fault::NodeError;

/// What is asked for, as JSON has it. Source: `Noise` of `party-node/console/src/api/plan.ts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// As a decimal number.
    epsilon: String,
    mechanism: Kind,
    /// δ is 10 to the minus this.
    delta_digits: Option<u32>,
}

impl Wanted {
    /// As the planner takes it.
    ///
    /// # Errors
    /// `BAD_EPSILON`, `BAD_DELTA`.
    pub fn asked(&self) -> Result<Asked, NodeError> {
        let epsilon = self.epsilon.parse().map_err(|why: String| NodeError::new("BAD_EPSILON", why))?;
        Ok(Asked { epsilon, mechanism: mechanism(self.mechanism, self.delta_digits)? })
    }
}

impl From<Asked> for Wanted {
    fn from(Asked { epsilon, mechanism }: Asked) -> Self {
        let (mechanism, delta_digits) = match mechanism {
            Mechanism::Laplace => (Kind::Laplace, None),
            Mechanism::Gaussian { delta_digits } => (Kind::Gaussian, delta_digits),
        };
        Self { epsilon: epsilon.to_string(), mechanism, delta_digits }
    }
}

/// A kind of noise with its δ.
///
/// # Errors
/// `BAD_DELTA` for a δ of noise that has none.
pub fn mechanism(kind: Kind, delta_digits: Option<u32>) -> Result<Mechanism, NodeError> {
    match (kind, delta_digits) {
        (Kind::Laplace, None) => Ok(Mechanism::Laplace),
        (Kind::Laplace, Some(_)) => Err(NodeError::new("BAD_DELTA", "Laplace noise has no δ")
            .hint("say --mechanism gaussian, or no --delta-digits; at the console, choose Gaussian noise")),
        (Kind::Gaussian, delta_digits) => Ok(Mechanism::Gaussian { delta_digits }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_comes_back_as_it_was_written_and_laplace_has_no_delta() {
        let read = |text: &str| serde_json::from_str::<Wanted>(text).unwrap();
        for text in [
            r#"{"epsilon":"0.5","mechanism":"laplace","delta_digits":null}"#,
            r#"{"epsilon":"2","mechanism":"gaussian","delta_digits":6}"#,
            r#"{"epsilon":"0.000001","mechanism":"gaussian","delta_digits":null}"#,
        ] {
            assert_eq!(serde_json::to_string(&Wanted::from(read(text).asked().unwrap())).unwrap(), text);
        }
        let code = |text: &str| read(text).asked().unwrap_err().code;
        assert_eq!(code(r#"{"epsilon":"1e-3","mechanism":"laplace","delta_digits":null}"#), "BAD_EPSILON");
        assert_eq!(code(r#"{"epsilon":"1","mechanism":"laplace","delta_digits":6}"#), "BAD_DELTA");
    }
}
