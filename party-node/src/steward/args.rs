//! The stewards' commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Lang;

/// What a site's stewards do.
#[derive(Debug, Subcommand)]
pub enum StewardCommand {
    /// The plans that wait for a decision at this site
    Inbox {
        /// Where
        #[command(flatten)]
        at: At,
        /// Print the whole text of this plan
        #[arg(long)]
        plan: Option<String>,
        /// What it reveals in this language too
        #[arg(long, value_enum, default_value_t, requires = "plan")]
        lang: Lang,
    },
    /// Approve a plan that waits
    Approve {
        /// Where
        #[command(flatten)]
        at: At,
        /// The plan, by its first digits
        plan: String,
        /// For so many days
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// A note of who approves, where the policy lists no stewards
        #[command(flatten)]
        by: By,
        /// The steward's own key, where it does
        #[arg(long)]
        steward_key: Option<PathBuf>,
    },
    /// Reject a plan that waits
    Reject {
        /// Where
        #[command(flatten)]
        at: At,
        /// The plan, by its first digits
        plan: String,
        /// Why; the analyst is told
        #[arg(long)]
        reason: String,
        /// A note of who rejects
        #[command(flatten)]
        by: By,
    },
    /// Take back what was decided about a plan, until its release begins
    Withdraw {
        /// Where
        #[command(flatten)]
        at: At,
        /// The plan, by its first digits
        plan: String,
        /// A note of who withdraws
        #[command(flatten)]
        by: By,
    },
    /// Do this site's own work for a question on its own data, and count
    DryRun {
        /// Where
        #[command(flatten)]
        at: At,
        /// A plan that waits, by its first digits
        #[arg(required_unless_present = "execute", conflicts_with = "execute")]
        plan: Option<String>,
        /// Or a question
        #[arg(short = 'e', long = "execute", value_name = "SQL")]
        execute: Option<String>,
    },
    /// What came out of this site: when, to whom, what
    Ledger {
        /// Where
        #[command(flatten)]
        at: At,
        /// Of this study only
        #[arg(long)]
        study: Option<String>,
    },
    /// The log of this site
    Audit {
        /// What to do with it
        #[command(subcommand)]
        what: AuditCommand,
    },
    /// Delete the patient sets, questions and answers that this site keeps of a study, for ever; prints a signed receipt
    Forget {
        /// Where
        #[command(flatten)]
        at: At,
        /// The study file
        #[arg(long)]
        study: PathBuf,
    },
    /// Make a steward's own key, and say the pin for `stewards` in the site's policy
    StewardKey {
        /// The file to write, readable by its owner only
        #[arg(long)]
        out: PathBuf,
    },
}

/// What is done with a log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// What the log says of a release: what was sent, step by step, and where the other sites' logs ended
    Show {
        /// Where
        #[command(flatten)]
        at: At,
        /// The release, by its first digits
        release: String,
    },
    /// Check every byte of the log, or of an export
    Verify {
        /// Where
        #[command(flatten)]
        at: At,
        /// An export, instead of the log itself
        #[arg(long)]
        file: Option<PathBuf>,
        /// A network file with keys that the site had before
        #[arg(long, value_name = "NETWORK")]
        pins: Vec<PathBuf>,
    },
    /// Write the log for an auditor, closed by a signed line
    Export {
        /// Where
        #[command(flatten)]
        at: At,
        /// The file to write
        #[arg(long)]
        out: PathBuf,
    },
}

/// Which site.
#[derive(Debug, Args)]
pub struct At {
    /// The site's configuration that `init` wrote
    #[arg(long)]
    pub config: PathBuf,
}

/// Who decides.
#[derive(Debug, Args)]
pub struct By {
    /// A note of who decides, for the log
    #[arg(long = "as", value_name = "NAME", default_value = "steward")]
    pub name: String,
}
