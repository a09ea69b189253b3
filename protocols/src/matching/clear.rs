//! The plaintext twin of [`super::align()`]: what its segments are when everybody puts their shares together. For tests only.

use std::collections::HashMap;

use mpc_core::{Bits, Block, PartyId, Z64};

use super::align::Run;
use super::table::{PatientTable, Shape};

/// One receiver's bins in the clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearSegment {
    /// Whose patients the bins hold.
    pub receiver: PartyId,
    /// How many bins.
    pub rows: usize,
    /// The senders in order, and then the receiver itself.
    pub holders: Vec<ClearHolder>,
}

/// What one site has for the patients of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearHolder {
    /// The site.
    pub site: PartyId,
    /// Does it have this bin's patient?
    pub member: Vec<bool>,
    /// Its numbers, column by column; zero where it has none.
    pub numbers: Vec<Vec<Z64>>,
    /// Its bits, row by row; zero where it has none.
    pub bits: Vec<Vec<bool>>,
}

/// The segments of these runs. `places[k][i]` is the row of the receiver's table that is in bin i of run k: in a session with one
/// pass and key the receiver alone knows, with several rows are in their order. Of several passes and keys that find a patient the
/// first decides.
///
/// # Panics
/// When a place is no row, or tables and shapes differ.
pub fn align(
    tables: &[PatientTable],
    shapes: &[Shape],
    runs: &[Run],
    places: &[Vec<Option<usize>>],
) -> Vec<ClearSegment> {
    let of_run = |((receiver, senders), places): (&Run, &Vec<Option<usize>>)| {
        let own = &tables[receiver.index()];
        let sites = senders.iter().chain([receiver]);
        let holder = |site: &PartyId| {
            let (table, shape) = (&tables[site.index()], &shapes[site.index()]);
            let found = if site == receiver { places.clone() } else { found(own, table, places) };
            holder(*site, table, shape, &found)
        };
        ClearSegment { receiver: *receiver, rows: places.len(), holders: sites.map(holder).collect() }
    };
    runs.iter().zip(places).map(of_run).collect()
}

/// The sender's rows that are found for the receiver's rows in these places.
fn found(own: &PatientTable, sender: &PatientTable, places: &[Option<usize>]) -> Vec<Option<usize>> {
    let passes = own.keys.len();
    let at_sender: Vec<HashMap<u128, usize>> =
        (0..passes).map(|pass| keys(sender, pass).map(|(row, key)| (key.0, row)).collect()).collect();
    let own_keys: Vec<HashMap<usize, Vec<Block>>> = (0..passes).map(|pass| by_row(own, pass)).collect();
    let in_pass =
        |row: usize, pass: usize| own_keys[pass].get(&row)?.iter().find_map(|key| at_sender[pass].get(&key.0)).copied();
    let first = |row: usize| (0..at_sender.len()).find_map(|pass| in_pass(row, pass));
    places.iter().map(|place| first((*place)?)).collect()
}

/// All keys of a pass with their rows, first keys first.
fn keys(table: &PatientTable, pass: usize) -> impl Iterator<Item = (usize, Block)> {
    let first = table.keys[pass].iter().enumerate().filter_map(|(row, key)| Some((row, (*key)?)));
    first.chain(table.further.get(pass).into_iter().flatten().copied())
}

fn by_row(table: &PatientTable, pass: usize) -> HashMap<usize, Vec<Block>> {
    let mut of: HashMap<usize, Vec<Block>> = HashMap::new();
    keys(table, pass).for_each(|(row, key)| of.entry(row).or_default().push(key));
    of
}

fn holder(site: PartyId, table: &PatientTable, shape: &Shape, found: &[Option<usize>]) -> ClearHolder {
    let number = |column: &Vec<Z64>| found.iter().map(|row| row.map_or(Z64(0), |row| column[row])).collect();
    let bit = |bits: &Bits, row: Option<usize>, plane: usize| row.is_some_and(|row| bits.get(row, plane));
    let bits = |row: &Option<usize>| (0..shape.bits).map(|plane| bit(&table.bits, *row, plane)).collect();
    ClearHolder {
        site,
        member: found.iter().map(Option::is_some).collect(),
        numbers: table.numbers.iter().map(number).collect(),
        bits: found.iter().map(bits).collect(),
    }
}
