//! What of ε and δ a site's answers may take.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::catalog::MAX_SITES;
use crate::noise::{Delta, Epsilon, Kind, MAX_DELTA_DIGITS, MIN_DELTA_DIGITS};

/// The ε that may be spent, as decimal text, and the δ, by digits. A site that has this answers with noise only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// On all releases of a study. Stays at the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<String>,
    /// On one release. Stays at the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_per_release: Option<String>,
    /// On all releases of all studies together; no such limit where it is not given. Stays at the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_in_all: Option<String>,
    /// The δ of all releases of a study sum to 10 to the minus this at most. Stays at the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_digits: Option<u32>,
    /// The δ of one release is 10 to the minus this at most; two digits more than `delta_digits` where it is not given, for a
    /// hundred releases. Public: a question that names no δ takes the smallest of all sites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_digits_per_release: Option<u32>,
    /// The same as `delta_digits` of all studies together; no such limit where it is not given. Stays at the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_digits_in_all: Option<u32>,
    /// The kinds of noise that are allowed; Laplace where it is not given, and Gaussian where there is δ to spend. Public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanisms: Option<BTreeSet<Kind>>,
    /// The promise must hold if so many sites are honest; 1 (whoever they are) where it is not given. Public: the smallest of all sites
    /// counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honest_sites: Option<u32>,
}

impl Privacy {
    /// Most of all releases of a study, and of one; none where a file was not checked.
    pub fn limits(&self) -> Option<[Epsilon; 2]> {
        let read = |text: &Option<String>| text.as_ref()?.parse().ok();
        Some([read(&self.epsilon)?, read(&self.most_per_release)?])
    }

    /// Most of all releases of all studies together, where there is a limit.
    pub fn limit_in_all(&self) -> Option<Epsilon> {
        self.epsilon_in_all.as_ref()?.parse().ok()
    }

    /// Most δ of all releases of a study; none where there is none to spend.
    pub fn delta_limit(&self) -> Delta {
        self.delta_digits.map_or(Delta(0), Delta::of_digits)
    }

    /// Most δ of all releases of all studies together, where there is a limit.
    pub fn delta_limit_in_all(&self) -> Option<Delta> {
        self.delta_digits_in_all.map(Delta::of_digits)
    }

    /// An answer's δ has so many digits at least; none where the policy has none to spend.
    pub fn release_digits(&self) -> Option<u32> {
        let default = self.delta_digits.map(|digits| (digits + MORE_DIGITS).min(MAX_DELTA_DIGITS));
        self.delta_digits_per_release.or(default)
    }

    /// May noise be of this kind?
    pub fn allows(&self, kind: Kind) -> bool {
        self.kinds().contains(&kind)
    }

    fn kinds(&self) -> BTreeSet<Kind> {
        let default = || [Kind::Laplace].into_iter().chain(self.release_digits().map(|_| Kind::Gaussian)).collect();
        self.mechanisms.clone().unwrap_or_else(default)
    }

    /// What the other sites know: that there is noise, of which kinds, how small δ has to be, and whom the promise counts on.
    pub(super) fn published(&self) -> Privacy {
        let delta_digits_per_release = self.release_digits();
        let honest_sites = Some(self.honest_sites.unwrap_or(1));
        Privacy { delta_digits_per_release, honest_sites, ..Privacy::default() }.with_kinds(self.kinds())
    }

    /// The same with the strictest public numbers of both.
    pub(super) fn with_numbers_of(mut self, other: Option<&Privacy>) -> Privacy {
        let Some(other) = other else { return self };
        let both = self.kinds().intersection(&other.kinds()).copied().collect();
        self.honest_sites = self.honest_sites.into_iter().chain(other.honest_sites).min();
        self.delta_digits_per_release = self.delta_digits_per_release.max(other.release_digits());
        self.with_kinds(both)
    }

    /// With these kinds, which are not named where they are understood.
    fn with_kinds(self, kinds: BTreeSet<Kind>) -> Privacy {
        let silent = Privacy { mechanisms: None, ..self };
        if silent.kinds() == kinds { silent } else { Privacy { mechanisms: Some(kinds), ..silent } }
    }

    /// The key that breaks a rule, and the rule.
    pub(super) fn broken_rule(&self) -> Option<(&'static str, String)> {
        let digits = (MIN_DELTA_DIGITS, MAX_DELTA_DIGITS);
        let numbers = [
            ("privacy.honest_sites", self.honest_sites, (1, MAX_SITES as u32)),
            ("privacy.delta_digits", self.delta_digits, digits),
            ("privacy.delta_digits_per_release", self.delta_digits_per_release, digits),
            ("privacy.delta_digits_in_all", self.delta_digits_in_all, digits),
        ];
        let within = |number: &Option<u32>, (lo, hi)| number.is_none_or(|number| (lo..=hi).contains(&number));
        if let Some((key, _, (lo, hi))) = numbers.iter().find(|(_, number, bounds)| !within(number, *bounds)) {
            return Some((key, format!("{key} is {lo} to {hi}")));
        }
        if self.delta_digits > self.release_digits() {
            let key = "privacy.delta_digits_per_release";
            return Some((key, format!("{key} is not below delta_digits: one answer takes no more than a study has")));
        }
        if self.allows(Kind::Gaussian) && self.release_digits().is_none() {
            return Some(("privacy.mechanisms", "Gaussian noise needs delta_digits, the δ that it may take".into()));
        }
        let spent = [
            ("privacy.epsilon", &self.epsilon),
            ("privacy.most_per_release", &self.most_per_release),
            ("privacy.epsilon_in_all", &self.epsilon_in_all),
        ];
        let is_wrong = |text: &String| text.parse::<Epsilon>().is_err();
        let wrong = spent.into_iter().find(|(_, text)| text.as_ref().is_some_and(is_wrong));
        wrong.map(|(key, _)| (key, format!("{key} is a decimal number in quotes, such as \"0.5\"")))
    }

    /// Does it say what a site's own budget must say?
    pub fn is_whole(&self) -> bool {
        self.limits().is_some() && (self.delta_digits.is_some() || !self.allows(Kind::Gaussian))
    }
}

/// A study's δ is for a hundred answers where a policy says no more.
const MORE_DIGITS: u32 = 2;

pub(super) const KEYS: &[&str] = &[
    "epsilon",
    "most_per_release",
    "epsilon_in_all",
    "delta_digits",
    "delta_digits_per_release",
    "delta_digits_in_all",
    "mechanisms",
    "honest_sites",
];
