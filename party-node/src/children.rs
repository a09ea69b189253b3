//! Party processes on this machine, for the sandbox, the demo and benchmarks. Each makes its key in its own memory, says
//! where it listens on standard output, and is told the network on standard input; nothing touches the disk.

use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use mpc_core::identity::Pin;
use query_planner::merge::SiteSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::fault::NodeError;
use crate::network::Network;

/// How long a child may take to read its data and listen.
const HELLO_PATIENCE: Duration = Duration::from_secs(300);

/// A child's lines on standard output: JSON, one a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Line<T> {
    /// As asked.
    Ok(T),
    /// A failure, as the child would print it.
    Failed {
        /// Stable code.
        code: String,
        /// The sentence.
        message: String,
        /// Advice.
        hint: Option<String>,
    },
}

impl<T> From<Result<T, NodeError>> for Line<T> {
    fn from(result: Result<T, NodeError>) -> Self {
        match result {
            Ok(value) => Line::Ok(value),
            Err(NodeError { code, message, hint }) => Line::Failed { code: code.into_owned(), message, hint },
        }
    }
}

/// A child's first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// Its key's pin.
    pub pin: Pin,
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// What its files look like (empty in benchmarks).
    pub schema: SiteSchema,
    /// Columns that are nearly of another type, as table, column and the fault to raise unless the type is declared.
    pub doubts: Vec<(String, String, Line<()>)>,
}

/// Running children, in party order. They end when this is dropped.
pub struct Children {
    running: Vec<Running>,
}

struct Running {
    name: String,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    process: Child,
}

impl Children {
    /// Starts one process of this program for each name with its arguments.
    pub fn start(commands: Vec<(String, Vec<String>)>) -> Result<Self, NodeError> {
        let failed = |e: std::io::Error| NodeError::new("CANNOT_START", format!("a party process: {e}"));
        let program = std::env::current_exe().map_err(failed)?;
        let start = |(name, arguments): (String, Vec<String>)| {
            let mut command = Command::new(&program);
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut process = command.spawn().map_err(failed)?;
            let pipes = process.stdin.take().zip(process.stdout.take());
            let (input, output) =
                pipes.ok_or_else(|| NodeError::new("CANNOT_START", "a party process without pipes"))?;
            Ok(Running { name, input, output: BufReader::new(output).lines(), process })
        };
        Ok(Self { running: commands.into_iter().map(start).collect::<Result<_, NodeError>>()? })
    }

    /// The next line of every child, in order.
    ///
    /// # Errors
    /// What a child reports as its failure, with its name; `CANNOT_START` when it says nothing.
    pub async fn lines<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, NodeError> {
        let mut all = Vec::with_capacity(self.running.len());
        for child in &mut self.running {
            let gone = || NodeError::new("CANNOT_START", format!("the process of {} ended or is silent", child.name));
            let line = timeout(HELLO_PATIENCE, child.output.next_line()).await;
            let line = line.ok().and_then(Result::ok).flatten().ok_or_else(gone)?;
            match serde_json::from_str(&line).map_err(|_| gone())? {
                Line::Ok(value) => all.push(value),
                Line::Failed { code, message, hint } => {
                    return Err(NodeError::remote(&child.name, &code, &message, hint.as_deref()));
                }
            }
        }
        Ok(all)
    }

    /// Closes every child's standard input, at which it ends, and waits.
    pub async fn close(self, patience: Duration) {
        let ending = self.running.into_iter().map(|child| {
            drop(child.input);
            let mut process = child.process;
            async move { timeout(patience, process.wait()).await.is_ok() }
        });
        join_all(ending).await;
    }

    /// Tells every child the network.
    pub async fn introduce(&mut self, network: &Network) -> Result<(), NodeError> {
        let failed = |e: &dyn std::fmt::Display| NodeError::new("CANNOT_START", format!("a party process: {e}"));
        let mut line = serde_json::to_vec(network).map_err(|e| failed(&e))?;
        line.push(b'\n');
        for child in &mut self.running {
            child.input.write_all(&line).await.map_err(|e| failed(&e))?;
            child.input.flush().await.map_err(|e| failed(&e))?;
        }
        Ok(())
    }
}

/// The child's side: prints a line.
pub fn tell<T: Serialize>(line: &Line<T>) -> Result<(), NodeError> {
    let text = serde_json::to_string(line).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
    println!("{text}");
    Ok(())
}

/// The child's side: the parent's lines on standard input. A thread reads them, because a blocked read of standard input
/// would hold up the end of a runtime.
pub struct Parent(UnboundedReceiver<String>);

impl Parent {
    /// Starts listening.
    pub fn listen() -> Self {
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            let mut lines = std::io::stdin().lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Self(lines)
    }

    /// The network, which is all the parent says.
    pub async fn network(&mut self) -> Result<Network, NodeError> {
        let gone = || NodeError::new("CANNOT_START", "the parent process said nothing");
        let line = self.0.recv().await.ok_or_else(gone)?;
        serde_json::from_str::<Network>(&line).map_err(|e| NodeError::new("BAD_NETWORK_FILE", e.to_string()))?.checked()
    }

    /// Waits until the parent is gone.
    pub async fn gone(&mut self) {
        while self.0.recv().await.is_some() {}
    }
}
