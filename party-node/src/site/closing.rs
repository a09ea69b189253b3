//! The end of a node: no new questions first, and no run any more at last.

use tokio::sync::watch;

use crate::fault::NodeError;

/// How far a node has closed. Only ever further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    Draining,
    Aborted,
}

pub(super) struct Closing(watch::Sender<Phase>);

impl Default for Closing {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Open))
    }
}

impl Closing {
    /// From now on new questions are refused.
    pub(super) fn drain(&self) {
        self.0.send_modify(|phase| *phase = Phase::Draining.max(*phase));
    }

    /// From now on no run goes on.
    pub(super) fn abort(&self) {
        self.0.send_modify(|phase| *phase = Phase::Aborted);
    }

    /// # Errors
    /// `SITE_STOPPING`.
    pub(super) fn is_open(&self) -> Result<(), NodeError> {
        match *self.0.borrow() {
            Phase::Open => Ok(()),
            _ => Err(stopping()),
        }
    }

    /// Waits until runs are to end; why.
    pub(super) async fn aborted(&self) -> NodeError {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|phase| *phase == Phase::Aborted).await;
        stopped()
    }
}

/// Why a node begins nothing any more.
pub(super) fn stopping() -> NodeError {
    NodeError::new("SITE_STOPPING", "the node is being stopped").hint("ask again when it is back")
}

/// Why a run ends with its node.
pub(crate) fn stopped() -> NodeError {
    NodeError::new("NODE_STOPPED", "the node was stopped while the run went on")
        .hint("ask again when it is back: what has begun counts as a release")
}
