//! Who may log in: hashes of tokens, in a file of mode 0600 in the node's state folder.
//!
//! A token is 256 random bits, so that its hash is as good as it is: no salt and no slow function would make a guess harder. The file
//! is read anew for every request, so that what is revoked ends at once, in sessions too.

use std::fs;
use std::path::{Path, PathBuf};

use mpc_core::random::os_bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::{Config, missing};
use crate::fault::{NodeError, hostile, printable};
use crate::secret_file;
use crate::state::{hex, now_ms};

/// What somebody may do at the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Decides, and sees what the site keeps.
    Steward,
    /// Asks, under an account of the node.
    Analyst,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// SHA-256 of the site's name and the token.
    #[serde(with = "hex")]
    pub hash: [u8; 32],
    /// A steward's name in the log, an analyst's in the network file.
    pub name: String,
    /// Sorted, each once.
    pub roles: Vec<Role>,
    /// When it was made, milliseconds since 1970.
    pub made_ms: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    tokens: Vec<Holder>,
}

/// The file, and the site that its tokens are of.
#[derive(Debug, Clone)]
pub struct Tokens {
    file: PathBuf,
    site: String,
}

/// The file's name in the state folder.
const FILE: &str = "console.tokens";
/// At most so many, so that the file stays small.
const MOST: usize = 100;
/// Characters of a name.
const MAX_NAME: usize = 40;

impl Tokens {
    /// Those of a site.
    pub fn of(config: &Config) -> Self {
        let folder = config.state.clone().unwrap_or_default();
        Self { file: folder.join(FILE), site: config.name.clone() }
    }

    /// The holder of a token, if it is one of this site's.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn holder(&self, token: &str) -> Result<Option<Holder>, NodeError> {
        self.by_hash(&self.hash(token))
    }

    /// The holder of the token that has this hash, if it is not revoked.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn by_hash(&self, hash: &[u8; 32]) -> Result<Option<Holder>, NodeError> {
        Ok(self.read()?.tokens.into_iter().find(|holder| holder.hash == *hash))
    }

    /// Makes a token; it is kept nowhere but where the caller prints it.
    ///
    /// # Errors
    /// `BAD_NAME`, `TOO_MANY_TOKENS`, and what is wrong with the file.
    pub fn make(&self, name: &str, mut roles: Vec<Role>) -> Result<Zeroizing<String>, NodeError> {
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(hostile) {
            return Err(NodeError::new("BAD_NAME", format!("an account's name has 1 to {MAX_NAME} characters")));
        }
        roles.sort();
        roles.dedup();
        let random = || NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness");
        let bytes = Zeroizing::new(os_bytes().map_err(|_| random())?);
        let token = Zeroizing::new(hex::text(&*bytes));
        let mut content = self.read()?;
        if content.tokens.len() >= MOST {
            return Err(NodeError::new("TOO_MANY_TOKENS", format!("there are {MOST} tokens")).hint("revoke some"));
        }
        content.tokens.push(Holder { hash: self.hash(&token), name: name.to_owned(), roles, made_ms: now_ms() });
        self.write(&content)?;
        Ok(token)
    }

    /// Revokes all tokens of a name; how many there were.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn revoke(&self, name: &str) -> Result<usize, NodeError> {
        let mut content = self.read()?;
        let before = content.tokens.len();
        content.tokens.retain(|holder| holder.name != name);
        let revoked = before - content.tokens.len();
        if revoked > 0 {
            self.write(&content)?;
        }
        Ok(revoked)
    }

    fn hash(&self, token: &str) -> [u8; 32] {
        let site = Sha256::new().chain_update(b"consilium console token v1\0").chain_update(&self.site);
        site.chain_update([0]).chain_update(token).finalize().into()
    }

    fn read(&self) -> Result<Content, NodeError> {
        let bytes = match secret_file::read(&self.file) {
            Ok(bytes) => bytes,
            Err(error) if error.code == "NO_SUCH_FILE" => return Ok(Content::default()),
            Err(error) => return Err(error),
        };
        let bad = |_| NodeError::new("BAD_TOKEN_FILE", format!("{} is no list of tokens", self.file.display()));
        serde_json::from_slice(&bytes).map_err(bad)
    }

    /// As a whole or not at all: into a new file, which takes the place of the old one. One command at a time.
    fn write(&self, content: &Content) -> Result<(), NodeError> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|e| missing(folder, &e))?;
        let text = serde_json::to_vec(content).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
        let new = self.file.with_extension("new");
        secret_file::create(&new, &text).map_err(|error| match &*error.code {
            "WOULD_OVERWRITE" => error.hint("another command writes it now; if none does, remove it"),
            _ => error,
        })?;
        fs::rename(&new, &self.file).map_err(|e| missing(&self.file, &e))?;
        // The name is on disk with its folder; where a folder cannot be opened, it is there soon.
        if let Ok(folder) = fs::File::open(folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// What `consilium console-token` does.
#[derive(Debug, clap::Args)]
pub struct TokenCommand {
    /// The configuration that `init` wrote
    #[arg(long)]
    pub config: PathBuf,
    /// What its holder may do; may be given twice
    #[arg(long, value_enum, required_unless_present = "revoke")]
    pub role: Vec<Role>,
    /// The holder's name: of an analyst that of the node's account
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Revoke all tokens of this name instead
    #[arg(long, requires = "account", conflicts_with = "role")]
    pub revoke: bool,
}

/// Makes or revokes a token; what the command prints.
///
/// # Errors
/// As [`Tokens::make`]; `NO_SUCH_ACCOUNT` for an analyst who has no account at the node.
pub fn run(command: TokenCommand) -> Result<Zeroizing<String>, NodeError> {
    let config = Config::load(&command.config)?;
    let tokens = Tokens::of(&config);
    if command.revoke {
        let name = command.account.unwrap_or_default();
        let count = tokens.revoke(&name)?;
        return Ok(Zeroizing::new(format!("revoked {count} token(s) of {}\n", printable(&name))));
    }
    let name = name_of(&config, &command)?;
    let token = tokens.make(&name, command.role)?;
    Ok(Zeroizing::new(format!("{}\n", *token)))
}

fn name_of(config: &Config, command: &TokenCommand) -> Result<String, NodeError> {
    if !command.role.contains(&Role::Analyst) {
        return Ok(command.account.clone().unwrap_or_else(|| "steward".to_owned()));
    }
    let known: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
    let wanted = command.account.as_deref();
    match known.iter().filter(|name| wanted.is_none_or(|wanted| wanted == **name)).collect::<Vec<_>>()[..] {
        [one] => Ok((*one).to_owned()),
        _ => {
            let message = "the node has no such account, or several, and none is named";
            let known: Vec<String> = known.into_iter().map(printable).collect();
            Err(NodeError::new("NO_SUCH_ACCOUNT", message)
                .hint(format!("name one of its [[account]]s with --account: {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(label: &str) -> Self {
            let path = std::env::temp_dir().join(format!("consilium-tokens-{}-{label}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn tokens(&self, site: &str) -> Tokens {
            Tokens { file: self.0.join(FILE), site: site.into() }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_token_is_its_holders_until_it_is_revoked_and_stands_in_no_file() {
        let folder = Folder::new("holds");
        let tokens = folder.tokens("a");
        let [first, second] = ["ada", "bo"].map(|name| tokens.make(name, vec![Role::Steward]).unwrap());
        assert!(first.len() == 64 && *first != *second);
        assert_eq!(tokens.holder(&first).unwrap().unwrap().name, "ada");
        assert_eq!(tokens.holder("").unwrap(), None);
        let text = fs::read_to_string(&tokens.file).unwrap();
        assert!(!text.contains(&**first) && text.contains("\"ada\""));
        assert_eq!((tokens.revoke("ada").unwrap(), tokens.revoke("ada").unwrap()), (1, 0));
        assert_eq!(tokens.holder(&first).unwrap(), None);
        assert_eq!(tokens.holder(&second).unwrap().unwrap().name, "bo");
    }

    #[test]
    fn a_token_of_another_site_is_none_even_from_a_copied_file() {
        let folder = Folder::new("copied");
        let token = folder.tokens("a").make("ada", vec![Role::Steward]).unwrap();
        assert!(folder.tokens("a").holder(&token).unwrap().is_some());
        assert_eq!(folder.tokens("b").holder(&token).unwrap(), None);
    }

    #[test]
    #[cfg(unix)]
    fn the_file_is_its_owners_alone_and_another_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("mode");
        let tokens = folder.tokens("a");
        let token = tokens.make("ada", vec![Role::Steward, Role::Analyst, Role::Steward]).unwrap();
        assert_eq!(fs::metadata(&tokens.file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(tokens.holder(&token).unwrap().unwrap().roles, [Role::Steward, Role::Analyst]);
        fs::set_permissions(&tokens.file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(tokens.holder(&token).unwrap_err().code, "KEY_FILE_OPEN");
    }
}
