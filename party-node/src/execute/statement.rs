//! What a run may open: the plan's disclosures, and nothing else. The only place where a node makes a statement.

use protocols::{Audience, Item, Kind, Statement};
use query_planner::JointPlan;
use query_planner::disclosure::{self, Disclosure, Recipient};

/// Everything the plan says will be opened.
pub fn statement(plan: &JointPlan) -> Statement {
    Statement::new(plan.disclosures.iter().filter_map(item).collect())
}

/// As the protocols call it; nothing for what follows from other disclosures.
fn item(disclosure: &Disclosure) -> Option<Item> {
    let audience = match disclosure.to {
        Recipient::Analyst => Audience::Analyst,
        Recipient::Everyone => Audience::Everyone,
        // Nobody sends these anything.
        Recipient::EachOfTwo | Recipient::Guesser => return None,
        // It finds them itself, by matching: see `intersection`.
        Recipient::Receiver => return None,
    };
    let kind = match disclosure.kind {
        disclosure::Kind::Value => Kind::Value,
        disclosure::Kind::Size => Kind::Size,
        disclosure::Kind::Order => Kind::Order,
        disclosure::Kind::Keys => Kind::Keys,
        disclosure::Kind::Bit => Kind::Bit,
    };
    disclosure.why.is_opened().then(|| Item::new(disclosure.id.as_str(), audience, kind))
}
