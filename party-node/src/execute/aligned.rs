//! The bins of a run: those of its sums and those in which the ledger is asked, from one alignment where they can stand side by side.

use mpc_core::Result;
use protocols::additive::Additive;
use protocols::matching::{Beside, Part, PatientTable, Segment, align};

use super::Public;
use super::near::Asked;
use crate::local::Partials;

/// The bins of a run.
pub struct Bins {
    /// For each sum, none where it is over no matched patients.
    pub sums: Vec<Vec<Segment>>,
    /// For the ledger.
    pub ledger: Vec<Segment>,
}

/// Matches the sites' patients for each sum that is over them, and for the ledger if it is asked anything. With the ledger all that has
/// the same bound and passes, and no further keys, is matched at once.
///
/// # Errors
/// As [`align()`].
pub async fn aligned(
    engine: &mut Additive,
    public: &Public<'_>,
    own: Option<&[Partials]>,
    asked: Option<&mut Asked>,
) -> Result<Bins> {
    let me = engine.session().me().index();
    let mut bins = Bins { sums: public.matched().iter().map(|_| Vec::new()).collect(), ledger: Vec::new() };
    for Matching { by, parts, own } in side_by_side(wanted(public, own, me, asked)) {
        let own = if engine.session().is_site() { parts.table(me, own) } else { None };
        let segments = align(engine, &parts.shapes(), &parts.runs(), own).await?;
        for (by, segments) in by.into_iter().zip(parts.cut(segments)) {
            match by {
                By::Ledger => bins.ledger = segments,
                By::Sum(sum) => bins.sums[sum] = segments,
            }
        }
    }
    Ok(bins)
}

/// Who wants bins.
#[derive(Clone, Copy)]
enum By {
    Ledger,
    Sum(usize),
}

/// Bins that are wanted, and what this site enters for them.
struct Wanted {
    by: By,
    part: Part,
    own: Option<PatientTable>,
}

fn wanted(public: &Public<'_>, own: Option<&[Partials]>, me: usize, asked: Option<&mut Asked>) -> Vec<Wanted> {
    let ledger = asked.map(|asked| Wanted { by: By::Ledger, part: asked.part(), own: asked.table() });
    let of_sum = |(sum, matched): (usize, &Option<super::Matched>)| {
        let matched = matched.as_ref()?;
        let part = Part { shapes: matched.shapes().to_vec(), runs: matched.runs().to_vec() };
        let known = own.and_then(|partials| partials[sum].patients.as_ref());
        Some(Wanted { by: By::Sum(sum), part, own: known.and_then(|known| matched.table(me, known)) })
    };
    ledger.into_iter().chain(public.matched().iter().enumerate().filter_map(of_sum)).collect()
}

/// One alignment.
struct Matching {
    by: Vec<By>,
    parts: Beside,
    own: Vec<Option<PatientTable>>,
}

/// What can stand beside what the ledger wants does; that comes first.
fn side_by_side(wanted: Vec<Wanted>) -> Vec<Matching> {
    let mut matchings: Vec<Matching> = Vec::new();
    for Wanted { by, part, own } in wanted {
        let ledger = matchings.first_mut().filter(|first| matches!(first.by[0], By::Ledger));
        match ledger.and_then(|first| first.parts.with(&part).map(|parts| (first, parts))) {
            Some((matching, parts)) => {
                matching.parts = parts;
                matching.by.push(by);
                matching.own.push(own);
            }
            None => matchings.push(Matching { by: vec![by], parts: Beside::one(part), own: vec![own] }),
        }
    }
    matchings
}
