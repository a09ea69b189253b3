//! A site's node and the analyst's command line.
//!
//! A run, from the analyst's side: `analyst` plans the question and proposes it; every `site` derives the same plan,
//! checks the digests, runs its `local` stage and says it is ready; `connect` makes a session of their connections;
//! `execute` runs the joint plan; `finish` does the analyst's plain SQL on what was revealed; `output` prints it.

pub mod agree;
pub mod analyst;
pub mod answers;
pub mod bench;
pub mod blame;
pub mod callers;
pub mod check;
pub mod child;
pub mod children;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connect;
pub mod console;
pub mod data_check;
pub mod demo;
pub mod drill;
mod exec;
pub mod execute;
pub mod fault;
pub mod finish;
pub mod govern;
mod http;
pub mod jobs;
mod joins;
pub mod joint;
pub mod linkage;
pub mod local;
pub mod log;
pub mod metrics;
pub mod network;
mod noise;
pub mod output;
mod places;
pub mod plans;
pub mod sandbox;
mod secret_file;
pub mod serve;
pub mod site;
pub mod source;
pub mod state;
pub mod steward;
pub mod wire;
