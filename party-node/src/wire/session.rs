//! The settings of a connection.

use std::collections::BTreeMap;
use std::time::Duration;

use query_planner::noise::{self, Epsilon};
use query_planner::{Audience, Language};

use crate::fault::{NodeError, printable};

/// What a connection has set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The study that questions belong to; the account's first where none is named.
    pub study: Option<String>,
    /// Does each column have one beside it that says why a cell is hidden?
    pub suppressed: bool,
    /// How long a question may wait for consent before its job is left to itself.
    pub wait: Duration,
    /// Noise on every figure.
    pub epsilon: Option<Epsilon>,
    /// Discrete Gaussian noise instead of discrete Laplace.
    pub gaussian: bool,
    /// Who learns the answers.
    pub audience: Audience,
    /// In which it is told what is revealed.
    pub language: Language,
    /// Only errors are told.
    pub quiet: bool,
    /// What else programs set, to be shown again.
    others: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            study: None,
            suppressed: false,
            wait: WAIT,
            epsilon: None,
            gaussian: false,
            audience: Audience::Analyst,
            language: Language::English,
            quiet: false,
            others: BTreeMap::new(),
        }
    }
}

const WAIT: Duration = Duration::from_secs(600);
/// A connection is no archive.
const MOST_OTHERS: usize = 100;
const LONGEST_VALUE: usize = 1_000;

/// Settings of PostgreSQL with the values that programs ask for.
const FIXED: [(&str, &str); 23] = [
    ("server_version", VERSION),
    ("server_version_num", "150000"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, MDY"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "off"),
    ("in_hot_standby", "off"),
    ("default_transaction_read_only", "on"),
    ("transaction_read_only", "on"),
    ("transaction_isolation", "repeatable read"),
    ("default_transaction_isolation", "repeatable read"),
    ("search_path", "public"),
    ("max_identifier_length", "63"),
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("client_min_messages", "notice"),
    ("row_security", "off"),
    ("max_index_keys", "32"),
];

/// The version of PostgreSQL whose catalogue is shown.
pub const VERSION: &str = "15.0";

/// Settings whose value the protocol reports when a connection begins, as it writes their names.
pub const REPORTED: [&str; 12] = [
    "server_version",
    "server_encoding",
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
    "is_superuser",
    "in_hot_standby",
    "default_transaction_read_only",
    "application_name",
];

impl Settings {
    /// Gives a setting a value, or its default.
    ///
    /// # Errors
    /// `UNKNOWN_SETTING`, `BAD_SETTING`, `BAD_EPSILON`.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), NodeError> {
        let name = name.to_ascii_lowercase();
        let bad = |what: &str| NodeError::new("BAD_SETTING", format!("{} is {what}", printable(&name)));
        if name.len() + value.map_or(0, str::len) > LONGEST_VALUE {
            return Err(few_and_short());
        }
        match (name.as_str(), value) {
            ("consilium.study", value) => self.study = value.filter(|v| !v.is_empty()).map(str::to_owned),
            ("consilium.suppressed", value) => {
                self.suppressed = switch(value.unwrap_or("off")).ok_or_else(|| bad("on or off"))?;
            }
            ("consilium.wait", None) => self.wait = WAIT,
            ("consilium.wait", Some(text)) => {
                self.wait = duration(text).ok_or_else(|| bad("a time such as '30s' or '10min'"))?
            }
            ("consilium.epsilon", None | Some("")) => self.epsilon = None,
            ("consilium.epsilon", Some(text)) => {
                self.epsilon = Some(text.parse().map_err(|why: String| NodeError::new("BAD_EPSILON", why))?)
            }
            ("consilium.mechanism", value) => {
                self.gaussian = match value.unwrap_or("laplace") {
                    "laplace" => false,
                    "gaussian" => true,
                    _ => return Err(bad("laplace or gaussian")),
                };
            }
            ("consilium.audience", value) => {
                self.audience = match value.unwrap_or("analyst") {
                    "analyst" => Audience::Analyst,
                    "everyone" => Audience::Everyone,
                    _ => return Err(bad("analyst or everyone")),
                };
            }
            ("consilium.language", value) => {
                self.language = match value.unwrap_or("en") {
                    "en" => Language::English,
                    "zh" => Language::Chinese,
                    _ => return Err(bad("en or zh")),
                };
            }
            (other, _) if other.starts_with("consilium.") => {
                return Err(NodeError::new("UNKNOWN_SETTING", format!("there is no setting {}", printable(other)))
                    .hint(format!("there are {}", OURS.join(", "))));
            }
            // Programs without a locale name no encoding: what they show is what they get.
            ("client_encoding", Some(text)) if text.eq_ignore_ascii_case("sql_ascii") => (),
            ("client_encoding", Some(text)) if !["utf8", "utf-8", "unicode"].contains(&&*text.to_ascii_lowercase()) => {
                return Err(bad("UTF8: texts have no other form").hint("set PGCLIENTENCODING=UTF8"));
            }
            ("datestyle", Some(text)) if !text.to_ascii_lowercase().contains("iso") => return Err(bad("ISO")),
            ("standard_conforming_strings", Some(text)) if switch(text) != Some(true) => return Err(bad("on")),
            (
                "server_version" | "server_version_num" | "server_encoding" | "is_superuser" | "integer_datetimes",
                Some(_),
            ) => {
                return Err(bad("not to be changed"));
            }
            (_, value) => self.remember(&name, value)?,
        }
        if name == "client_min_messages" {
            self.quiet =
                matches!(value.map(str::to_ascii_lowercase).as_deref(), Some("warning" | "error" | "fatal" | "panic"));
        }
        Ok(())
    }

    /// Gives a setting the value that it had when the connection began.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn reset(&mut self, name: &str, first: &Self) -> Result<(), NodeError> {
        let given = first.show(name).filter(|value| Self::default().show(name).as_ref() != Some(value));
        self.set(name, given.as_deref())
    }

    /// What a question is asked under; nothing of what programs set to see it again.
    pub fn asking(&self) -> Self {
        Self { study: self.study.clone(), others: BTreeMap::new(), ..*self }
    }

    fn remember(&mut self, name: &str, value: Option<&str>) -> Result<(), NodeError> {
        let Some(value) = value else {
            self.others.remove(name);
            return Ok(());
        };
        if self.others.len() >= MOST_OTHERS && !self.others.contains_key(name) {
            return Err(few_and_short());
        }
        self.others.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// A setting's value as text.
    pub fn show(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        let on = |value: bool| Some(if value { "on" } else { "off" }.to_owned());
        match name.as_str() {
            "consilium.study" => Some(self.study.clone().unwrap_or_default()),
            "consilium.suppressed" => on(self.suppressed),
            "consilium.wait" => Some(format!("{}ms", self.wait.as_millis())),
            "consilium.epsilon" => Some(self.epsilon.map_or_else(String::new, |epsilon| epsilon.to_string())),
            "consilium.mechanism" => Some(if self.gaussian { "gaussian" } else { "laplace" }.to_owned()),
            "consilium.language" => Some(if self.language == Language::Chinese { "zh" } else { "en" }.to_owned()),
            "consilium.audience" => {
                Some(if self.audience == Audience::Analyst { "analyst" } else { "everyone" }.to_owned())
            }
            other => {
                let fixed = || FIXED.iter().find(|(known, _)| *known == other).map(|(_, value)| (*value).to_owned());
                self.others.get(other).cloned().or_else(fixed)
            }
        }
    }

    /// All settings.
    pub fn all(&self) -> BTreeMap<String, String> {
        let names = FIXED.iter().map(|(name, _)| *name).chain(OURS).chain(self.others.keys().map(String::as_str));
        names.filter_map(|name| Some((name.to_owned(), self.show(name)?))).collect()
    }

    /// The noise that questions ask for.
    pub fn noise(&self) -> Option<noise::Asked> {
        let mechanism =
            if self.gaussian { noise::Mechanism::Gaussian { delta_digits: None } } else { noise::Mechanism::Laplace };
        self.epsilon.map(|epsilon| noise::Asked { epsilon, mechanism })
    }

    /// What a connection begins with: `-c name=value` of its startup message's `options`, and the other settings in it.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn begin(&mut self, parameters: &std::collections::HashMap<String, String>) -> Result<(), NodeError> {
        let known = ["user", "database", "options", "replication"];
        for (name, value) in
            parameters.iter().filter(|(name, _)| !known.contains(&name.as_str()) && !name.starts_with("_pq_."))
        {
            self.set(name, Some(value))?;
        }
        let mut words = words(parameters.get("options").map_or("", String::as_str)).into_iter();
        while let Some(word) = words.next() {
            let setting = match word.strip_prefix("-c") {
                Some("") => words.next(),
                Some(setting) => Some(setting.to_owned()),
                None => word.strip_prefix("--").map(str::to_owned),
            };
            // What is not understood is not left out: it may be the noise that somebody asks for.
            let (name, value) = setting.as_deref().and_then(|setting| setting.split_once('=')).ok_or_else(|| {
                NodeError::new("BAD_SETTING", "options are settings alone: -c name=value, without spaces around '='")
            })?;
            self.set(name, Some(value))?;
        }
        Ok(())
    }
}

/// The settings that PostgreSQL has not.
const OURS: [&str; 7] = [
    "consilium.study",
    "consilium.suppressed",
    "consilium.wait",
    "consilium.epsilon",
    "consilium.mechanism",
    "consilium.audience",
    "consilium.language",
];

fn few_and_short() -> NodeError {
    NodeError::new("BAD_SETTING", "a connection keeps few and short settings")
}

/// Words between spaces; a backslash takes the meaning of what follows it.
fn words(text: &str) -> Vec<String> {
    let (mut all, mut word, mut letters) = (Vec::new(), String::new(), text.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => word.extend(letters.next()),
            letter if letter.is_ascii_whitespace() => all.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    all.push(word);
    all.retain(|word| !word.is_empty());
    all
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// PostgreSQL's units; a number alone is seconds. At most a week.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|ms| *ms <= 7 * 86_400_000).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_shown_and_refused() {
        let mut settings = Settings::default();
        let mut set = |name: &str, value: &str| settings.set(name, Some(value)).map_err(|e| e.code.into_owned());
        assert_eq!(set("consilium.wait", "30s"), Ok(()));
        assert_eq!(set("consilium.suppressed", "ON"), Ok(()));
        assert_eq!(set("consilium.epsilon", "0.5"), Ok(()));
        assert_eq!(set("Application_Name", "psql"), Ok(()));
        for (name, value, code) in [
            ("consilium.wait", "soon", "BAD_SETTING"),
            ("consilium.wait", "99999999999999999999s", "BAD_SETTING"),
            ("consilium.sudo", "on", "UNKNOWN_SETTING"),
            ("consilium.audience", "nobody", "BAD_SETTING"),
            ("consilium.study", &"y".repeat(2_000), "BAD_SETTING"),
            ("client_encoding", "LATIN1", "BAD_SETTING"),
            ("DateStyle", "German", "BAD_SETTING"),
            ("standard_conforming_strings", "off", "BAD_SETTING"),
            ("x", &"y".repeat(2_000), "BAD_SETTING"),
        ] {
            assert_eq!(set(name, value), Err(code.into()), "{name} {value}");
        }
        assert_eq!(settings.show("application_name").as_deref(), Some("psql"));
        assert_eq!(
            (settings.wait, settings.suppressed, settings.noise().is_some()),
            (Duration::from_secs(30), true, true)
        );
        assert_eq!(settings.show("nothing_known"), None);
        assert!(settings.all().len() > 20);
    }

    #[test]
    fn what_is_reset_has_the_value_that_the_connection_began_with() {
        let (mut first, mut now) = (Settings::default(), Settings::default());
        for (name, value) in
            [("consilium.epsilon", "0.5"), ("consilium.audience", "everyone"), ("application_name", "R")]
        {
            first.set(name, Some(value)).unwrap();
        }
        for name in ["consilium.epsilon", "consilium.audience", "application_name", "consilium.wait", "datestyle"] {
            now.reset(name, &first).unwrap();
        }
        assert_eq!(now.all(), first.all());
        assert_eq!(now.show("consilium.audience").as_deref(), Some("everyone"));
        now.set("application_name", Some("psql")).unwrap();
        assert_eq!(now.asking().show("application_name").as_deref(), Some(""));
        assert!(now.asking().noise().is_some());
    }

    #[test]
    fn a_connection_begins_with_its_options() {
        let mut settings = Settings::default();
        let options =
            "-c consilium.study=doses -cconsilium.wait=5s  --client_min_messages=error -c application_name=a\\ b\\\\c";
        let parameters = [("user", "ines"), ("options", options), ("client_encoding", "SQL_ASCII")];
        settings.begin(&parameters.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()).unwrap();
        assert_eq!(
            (settings.study.as_deref(), settings.wait, settings.quiet),
            (Some("doses"), Duration::from_secs(5), true)
        );
        assert_eq!(settings.show("application_name").as_deref(), Some("a b\\c"));
        assert_eq!(settings.show("client_encoding").as_deref(), Some("UTF8"));
        for options in ["-c consilium.epsilon = 0.5", "-c consilium.epsilon 0.5", "consilium.epsilon=0.5", "-c"] {
            let parameters = [("options".to_owned(), options.to_owned())].into();
            assert_eq!(Settings::default().begin(&parameters).unwrap_err().code, "BAD_SETTING", "{options}");
        }
    }
}
