//! The ledger's check in a run: are the patients of this release too near to those of an earlier one?

use mpc_core::error::LocalFault;
use mpc_core::{Bits, Block, Result};
use protocols::Engine;
use protocols::additive::Additive;
use protocols::relational::differencing::{Ledgered, SetTable, too_close};
use query_planner::Compiled;
use query_planner::disclosure::DisclosureId;
use query_planner::value::Value;

use super::link;
use crate::govern::meeting::Earlier;
use crate::govern::sets::{self, People, Sets};

/// Is any figure of this release over patients that differ from those of an earlier figure by fewer than the plan's smallest cell?
/// Public: `earlier`, the groups. A site gives its own patients behind the new figures and behind each earlier release.
///
/// # Errors
/// The protocol's own; `Local` when this site has more patients in its ledger than the network declares.
pub async fn check(
    engine: &mut Additive,
    compiled: &Compiled,
    groups: &[Vec<Vec<Value>>],
    earlier: &[Earlier],
    own: Option<(&Sets, &[Sets])>,
) -> Result<bool> {
    let new = sets::count(compiled, groups);
    let old: usize = earlier.iter().map(|past| past.sets).sum();
    if new == 0 || old == 0 {
        return Ok(false);
    }
    let pairs = (0..new).flat_map(|n| (new..new + old).map(move |o| (n, o))).collect();
    let (patients, passes) = sets::bounds(compiled);
    let shape = Ledgered { patients, passes, sets: new + old, pairs, least: compiled.joint.min_patients.into() };
    let table = match own {
        Some((sets, noted)) => Some(table(&shape, new, earlier, sets, noted).map_err(|why| engine.fault(why))?),
        None => None,
    };
    too_close(engine, &shape, table, (DisclosureId::difference().as_str(), link(&compiled.joint))).await
}

/// This site's patients, of today and of then, and which sets each is in.
fn table(
    shape: &Ledgered,
    new: usize,
    earlier: &[Earlier],
    sets: &Sets,
    noted: &[Sets],
) -> std::result::Result<SetTable, LocalFault> {
    let mut people = People::default();
    let mut columns: Vec<Vec<u32>> = people.take(sets, new);
    for (past, noted) in earlier.iter().zip(noted) {
        columns.extend(people.take(noted, past.sets));
    }
    let rows = people.keys().len();
    if rows > shape.patients {
        return Err(LocalFault::Other("more patients in the ledger than the network declares for a site".into()));
    }
    let mut bits = Bits::zeros(rows, shape.sets);
    for (set, members) in columns.iter().enumerate() {
        members.iter().for_each(|patient| bits.set(*patient as usize, set, true));
    }
    let key = |keys: &Vec<Option<[u8; 16]>>, pass: usize| keys.get(pass).copied().flatten().map(Block::from_le_bytes);
    let keys = (0..shape.passes).map(|pass| people.keys().iter().map(|keys| key(keys, pass)).collect());
    Ok(SetTable::new(keys.collect(), bits))
}
