//! Whether anybody still waits for what a source is asked.

use tokio::sync::watch;

/// Hears when whoever asked has left.
#[derive(Debug, Clone)]
pub struct Left(watch::Receiver<bool>);

/// Says that whoever asked has left.
#[derive(Debug)]
pub struct Leave(watch::Sender<bool>);

/// The code of work that was given up for it.
pub(crate) const ANALYST_LEFT: &str = "ANALYST_LEFT";

impl Left {
    /// Somebody who may leave.
    pub fn heard() -> (Leave, Self) {
        let (says, hears) = watch::channel(false);
        (Leave(says), Self(hears))
    }

    /// Nobody can leave.
    pub fn never() -> Self {
        Self::heard().1
    }

    /// Waits until whoever asked has left.
    pub(super) async fn has_left(&self) {
        // Without anybody who could say it, it is never said.
        if self.0.clone().wait_for(|left| *left).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Leave {
    /// Nobody waits any more.
    pub fn say(&self) {
        self.0.send_replace(true);
    }
}
