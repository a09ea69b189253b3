//! `accounts.toml`: which accounts of a node log in over its database protocol, and what their passwords are verified with; and
//! `consilium account`, which writes it.

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::scram::Verifier;
use super::settings::Settings;
use crate::config::{Config, missing};
use crate::fault::{NodeError, printable};
use crate::secret_file;
use crate::state::hex;

/// What is done with accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Let an account of node.toml log in over the database protocol; the password is read from standard input
    Set {
        /// The account
        name: String,
        /// The node's configuration
        #[arg(long)]
        config: PathBuf,
        /// Make a password, and print it once
        #[arg(long)]
        make: bool,
    },
    /// The accounts that may log in
    List {
        /// The node's configuration
        #[arg(long)]
        config: PathBuf,
    },
    /// Let an account log in no more
    Remove {
        /// The account
        name: String,
        /// The node's configuration
        #[arg(long)]
        config: PathBuf,
    },
}

/// The accounts of a file, by name. They do not print.
#[derive(Default)]
pub struct Logins(Vec<(String, Verifier)>);

/// As in the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "account")]
    accounts: Vec<WrittenAccount>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAccount {
    name: String,
    verifier: String,
}

impl Drop for WrittenAccount {
    fn drop(&mut self) {
        self.verifier.zeroize();
    }
}

impl Logins {
    /// Reads the file; nobody may log in where there is none.
    ///
    /// # Errors
    /// `KEY_FILE_OPEN` when others may read it, `BAD_ACCOUNTS` when it is no such file.
    pub fn read(path: &Path) -> Result<Self, NodeError> {
        let bytes = match secret_file::read(path) {
            Err(error) if error.code == "NO_SUCH_FILE" => return Ok(Self::default()),
            other => other?,
        };
        // The parser's message may quote the file.
        let bad = || NodeError::new("BAD_ACCOUNTS", format!("{}: not what `consilium account` writes", path.display()));
        let text = std::str::from_utf8(&bytes).map_err(|_| bad())?;
        let written: Written = toml::from_str(text).map_err(|_| bad())?;
        let read = |account: &WrittenAccount| Some((account.name.clone(), Verifier::parse(&account.verifier)?));
        written.accounts.iter().map(read).collect::<Option<_>>().map(Self).ok_or_else(bad)
    }

    /// What the account's password is verified with.
    pub fn verifier(&self, name: &str) -> Option<&Verifier> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, verifier)| verifier)
    }

    fn write(&self, path: &Path) -> Result<(), NodeError> {
        let written = |(name, verifier): &(String, Verifier)| WrittenAccount {
            name: name.clone(),
            verifier: verifier.text().to_string(),
        };
        let written = Written { accounts: self.0.iter().map(written).collect() };
        let text = toml::to_string_pretty(&written).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
        let text = Zeroizing::new(text);
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        // What an earlier command left when it was ended.
        let _ = fs::remove_file(&new);
        secret_file::create(&new, text.as_bytes())?;
        fs::rename(&new, path).map_err(|e| missing(path, &e))
    }
}

/// Runs a command; what it prints.
///
/// # Errors
/// `NO_SUCH_ACCOUNT`, `BAD_PASSWORD`, `BAD_CONFIG` without `[wire]`, and what is wrong with the files.
pub fn run(command: AccountCommand) -> Result<String, NodeError> {
    match command {
        AccountCommand::Set { name, config, make } => set(&name, &Config::load(&config)?, make),
        AccountCommand::List { config } => {
            let config = Config::load(&config)?;
            let logins = Logins::read(&of(&config)?.accounts)?;
            Ok(logins.0.iter().map(|(name, _)| format!("{}\n", printable(name))).collect())
        }
        AccountCommand::Remove { name, config } => {
            let config = Config::load(&config)?;
            let path = &of(&config)?.accounts;
            let mut logins = Logins::read(path)?;
            let before = logins.0.len();
            logins.0.retain(|(known, _)| *known != name);
            if logins.0.len() == before {
                return Err(NodeError::new("NO_SUCH_ACCOUNT", format!("{} may not log in", printable(&name))));
            }
            logins.write(path)?;
            Ok(format!("{} logs in no more; what is connected stays so\n", printable(&name)))
        }
    }
}

fn of(config: &Config) -> Result<&Settings, NodeError> {
    let none = || NodeError::new("BAD_CONFIG", "the configuration has no [wire]: nobody logs in to this node");
    config.wire.as_ref().ok_or_else(none)
}

fn set(name: &str, config: &Config, make: bool) -> Result<String, NodeError> {
    let path = &of(config)?.accounts;
    if !config.accounts.iter().any(|account| account.name == name) {
        let message = format!("the configuration has no [[account]] {}", printable(name));
        return Err(NodeError::new("NO_SUCH_ACCOUNT", message)
            .hint("the node asks under the account's own key: name it there first"));
    }
    let password = if make { made()? } else { given()? };
    let verifier = Verifier::of(&password)?;
    let mut logins = Logins::read(path)?;
    logins.0.retain(|(known, _)| known != name);
    logins.0.push((name.to_owned(), verifier));
    logins.0.sort_by(|a, b| a.0.cmp(&b.0));
    logins.write(path)?;
    Ok(if make { format!("{}\n", *password) } else { format!("{} may log in\n", printable(name)) })
}

fn made() -> Result<Zeroizing<String>, NodeError> {
    let bytes = mpc_core::random::os_bytes().map_err(|e| NodeError::new("NO_RANDOMNESS", e.to_string()))?;
    Ok(Zeroizing::new(hex::text(&bytes[..16])))
}

fn given() -> Result<Zeroizing<String>, NodeError> {
    let bad = |text: &str| NodeError::new("BAD_PASSWORD", text.to_owned());
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        return Err(
            bad("a terminal would show the password").hint("give it on standard input from a file, or say --make")
        );
    }
    let mut text = Zeroizing::new(String::with_capacity(LONGEST + 3));
    let read = (&mut input).take(LONGEST as u64 + 3).read_to_string(&mut text);
    read.map_err(|_| bad("the password is no UTF-8"))?;
    let line = text.strip_suffix('\n').map_or(&text[..], |line| line.strip_suffix('\r').unwrap_or(line));
    if !(SHORTEST..=LONGEST).contains(&line.len()) || line.chars().any(char::is_control) {
        return Err(bad(&format!("a password is one line of {SHORTEST} to {LONGEST} bytes")));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

const SHORTEST: usize = 12;
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_back_is_its_owners_alone_and_one_that_others_may_read_is_refused() {
        let folder = std::env::temp_dir().join(format!("consilium-accounts-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("accounts.toml");
        assert!(Logins::read(&path).unwrap().0.is_empty());
        let logins = Logins(vec![("Inés \"x\"".into(), Verifier::of("a password").unwrap())]);
        for _ in 0..2 {
            logins.write(&path).unwrap();
        }
        let again = Logins::read(&path).unwrap();
        assert!(again.verifier("Inés \"x\"").unwrap() == &logins.0[0].1 && again.verifier("Inés").is_none());
        assert!(!fs::read_to_string(&path).unwrap().contains("a password"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(Logins::read(&path).err().unwrap().code, "KEY_FILE_OPEN");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
