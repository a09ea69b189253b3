//! Running a circuit for all rows of all receivers' bins.

use std::collections::{BTreeMap, BTreeSet};

use mpc_core::error::LocalFault;
use mpc_core::{Bits, PartyId, Result, Ring, Z64};

use super::circuit::{Bit, Circuit, Flag, Gate, Number, Place, When, operands};
use crate::additive::traffic::{self, Step};
use crate::correlation::{Chains, Group};
use crate::engine::Engine;
use crate::matching::{Holder, Segment};
use crate::share::{ArithShare, BitShare};

/// The totals of a circuit, so many. Gates of one kind and level run together, in batches of at most 2^21 rows: the cost is
/// that of `and`, `negative`, `is_zero`, `b2a`, `mul` and `select` of those rows, with each segment's filled up to a multiple
/// of 64.
///
/// # Errors
/// `Local(Other)` when a segment or a column is missing; the engine's own.
pub async fn totals<E: Engine>(
    e: &mut E,
    circuit: &Circuit,
    segments: &[Segment],
    totals: usize,
) -> Result<ArithShare<Z64>> {
    Ok(all_gates(e, circuit, segments).await?.finish(totals))
}

/// A set's bit for every row of a receiver's bins.
pub struct Flagged {
    /// Whose bins.
    pub receiver: PartyId,
    /// The set.
    pub set: usize,
    /// Of what is known then.
    pub when: When,
    /// Who holds a share that may not be zero; None: every site.
    pub held: Option<BTreeSet<PartyId>>,
    /// Filled up with zeros to a multiple of 64 rows.
    pub bits: BitShare,
}

/// The flags of a circuit, in the order in which they were said. The cost is that of [`totals`].
///
/// # Errors
/// As [`totals`]; `Local(Other)` for a flag that everybody knows to be 1.
pub async fn flags<E: Engine>(e: &mut E, circuit: &Circuit, segments: &[Segment]) -> Result<Vec<Flagged>> {
    let run = all_gates(e, circuit, segments).await?;
    let flagged = |flag: &Flag| Flagged {
        receiver: flag.receiver,
        set: flag.set,
        when: flag.when,
        held: circuit.holders(flag.bit),
        bits: run.bits(flag.bit).plane(0),
    };
    Ok(circuit.flags.iter().map(flagged).collect())
}

/// What running a circuit over bins of this shape opens, once its correlations are made: batch by batch.
///
/// # Errors
/// What is missing, in words.
pub(in crate::relational) fn opened(
    circuit: &Circuit,
    segments: &[Segment],
    (sites, chains): (&Group, Chains),
) -> std::result::Result<Vec<Step>, &'static str> {
    let run = Run::new(circuit, segments)?;
    let batches = (0..=run.depth()).flat_map(|level| run.batches(level));
    let of_batch = |(kind, gates): (Kind, Vec<usize>)| {
        let rows = gates.iter().map(|at| run.rows[*at]).sum();
        match kind {
            Kind::And => traffic::and(sites, rows, 1),
            Kind::Negative(width) => traffic::negative(sites, chains, rows, width as usize),
            Kind::IsZero(width) => traffic::is_zero(sites, chains, rows, width as usize),
            Kind::FromBit => traffic::b2a(sites, rows, 1),
            Kind::Multiply => traffic::mul(sites, rows, 8),
            Kind::Select => traffic::select(sites, rows, 8),
        }
    };
    Ok(batches.flat_map(of_batch).collect())
}

/// About how many ANDs a circuit takes over bins of this shape: a comparison takes one for each bit, what multiplies numbers one for each
/// of 64.
///
/// # Errors
/// What is missing, in words.
pub fn ands(circuit: &Circuit, segments: &[Segment]) -> std::result::Result<usize, &'static str> {
    let run = Run::new(circuit, segments)?;
    let of_gate = |at: usize| match run.level[at].and_then(|_| kind(&circuit.gates[at])) {
        None => 0,
        Some(Kind::And) => run.rows[at],
        Some(Kind::Negative(width) | Kind::IsZero(width)) => run.rows[at].saturating_mul(width as usize),
        Some(Kind::FromBit | Kind::Multiply | Kind::Select) => run.rows[at].saturating_mul(64),
    };
    Ok((0..circuit.gates.len()).map(of_gate).fold(0, usize::saturating_add))
}

/// Level by level.
async fn all_gates<'c, E: Engine>(e: &mut E, circuit: &'c Circuit, segments: &[Segment]) -> Result<Run<'c>> {
    let mut run = Run::new(circuit, segments).map_err(|why| e.fault(LocalFault::Other(why.into())))?;
    for level in 0..=run.depth() {
        for (_, gates) in run.batches(level) {
            run.batch(e, &gates).await?;
        }
        run.local(e, level)?;
    }
    Ok(run)
}

/// Gates that need messages, by what runs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    And,
    Negative(u32),
    IsZero(u32),
    FromBit,
    Multiply,
    Select,
}

/// The rows of a gate.
enum Column {
    Missing,
    Bits(BitShare),
    Numbers(ArithShare<Z64>),
}

struct Run<'c> {
    circuit: &'c Circuit,
    /// When a gate runs; none for a gate that no output needs.
    level: Vec<Option<usize>>,
    /// How many gates, outputs and flags still need a gate.
    uses: Vec<usize>,
    rows: Vec<usize>,
    columns: Vec<Column>,
}

impl<'c> Run<'c> {
    fn new(circuit: &'c Circuit, segments: &[Segment]) -> std::result::Result<Self, &'static str> {
        let gates = circuit.gates.len();
        let columns = (0..gates).map(|_| Column::Missing).collect();
        let mut run = Self { circuit, level: vec![None; gates], uses: vec![0; gates], rows: vec![0; gates], columns };
        circuit.outputs.iter().for_each(|(_, number)| run.uses[number.0] += 1);
        circuit.flags.iter().for_each(|flag| run.uses[flag.bit.0] += 1);
        if circuit.flags.iter().any(|flag| matches!(circuit.gates[flag.bit.0], Gate::PublicBit(_))) {
            return Err("a set of everybody");
        }
        for (at, live) in circuit.live().into_iter().enumerate() {
            if live {
                run.enter(at, segments)?;
            }
        }
        Ok(run)
    }

    fn enter(&mut self, at: usize, segments: &[Segment]) -> std::result::Result<(), &'static str> {
        let gate = &self.circuit.gates[at];
        match gate {
            Gate::KnownBit(place) => {
                let (rows, holder) = find(segments, *place)?;
                let plane = || (place.column < holder.bits.width()).then(|| padded_bits(&holder.bits, place.column));
                self.columns[at] = Column::Bits(plane().ok_or("a column of bits that is missing")?);
                self.rows[at] = rows;
            }
            Gate::KnownNumber(place) => {
                let (rows, holder) = find(segments, *place)?;
                let column = holder.numbers.get(place.column).ok_or("a column of numbers that is missing")?;
                let padding = ArithShare::zeros(rows - column.len());
                self.columns[at] = Column::Numbers(ArithShare::concat(&[column, &padding]));
                self.rows[at] = rows;
            }
            _ => {}
        }
        let mut level = 0;
        for operand in operands(gate) {
            self.uses[operand] += 1;
            self.rows[at] = self.rows[operand];
            level = level.max(self.level[operand].unwrap_or(0));
        }
        self.level[at] = Some(level + usize::from(kind(gate).is_some()));
        Ok(())
    }

    fn depth(&self) -> usize {
        self.level.iter().flatten().copied().max().unwrap_or(0)
    }

    /// The gates of a level that need messages, by kind, in batches.
    fn batches(&self, level: usize) -> Vec<(Kind, Vec<usize>)> {
        let mut kinds: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
        for (at, gate) in self.circuit.gates.iter().enumerate().filter(|(at, _)| self.level[*at] == Some(level)) {
            if let Some(kind) = kind(gate) {
                kinds.entry(kind).or_default().push(at);
            }
        }
        let mut batches: Vec<(Kind, Vec<usize>)> = Vec::new();
        for (kind, gates) in kinds {
            let mut rows = MAX_ROWS;
            for at in gates {
                match batches.last_mut() {
                    Some((last, batch)) if *last == kind && rows + self.rows[at] <= MAX_ROWS => batch.push(at),
                    _ => {
                        batches.push((kind, vec![at]));
                        rows = 0;
                    }
                }
                rows += self.rows[at];
            }
        }
        batches
    }

    /// Runs gates of one kind together.
    async fn batch<E: Engine>(&mut self, e: &mut E, batch: &[usize]) -> Result<()> {
        let gates: Vec<Gate> = batch.iter().map(|at| self.circuit.gates[*at]).collect();
        let bits = |of: fn(&Gate) -> Option<Bit>| {
            concat_bits(&gates.iter().filter_map(of).map(|bit| self.bits(bit)).collect::<Vec<_>>())
        };
        let numbers = |of: fn(&Gate) -> Option<Number>| {
            ArithShare::concat(&gates.iter().filter_map(of).map(|number| self.numbers(number)).collect::<Vec<_>>())
        };
        match gates.first().and_then(kind) {
            Some(Kind::And) => {
                let (left, right) = (bits(first_bit), bits(second_bit));
                let out = e.and(&left, &right).await?;
                self.keep_bits(batch, &out);
            }
            Some(Kind::Negative(width)) => {
                let column = numbers(first_number);
                let out = e.negative(&column, width as usize).await?;
                self.keep_bits(batch, &out);
            }
            Some(Kind::IsZero(width)) => {
                let column = numbers(first_number);
                let out = e.is_zero(&column, width as usize).await?;
                self.keep_bits(batch, &out);
            }
            Some(Kind::FromBit) => {
                let column = bits(first_bit);
                let out = e.b2a(&column).await?;
                self.keep_numbers(batch, &out);
            }
            Some(Kind::Multiply) => {
                let (left, right) = (numbers(first_number), numbers(second_number));
                let out = e.mul(&left, &right).await?;
                self.keep_numbers(batch, &out);
            }
            Some(Kind::Select) => {
                let (choice, column) = (bits(first_bit), numbers(first_number));
                let out = e.select(&choice, &column).await?;
                self.keep_numbers(batch, &out);
            }
            None => {}
        }
        batch.iter().for_each(|at| self.release(*at));
        Ok(())
    }

    /// Runs the gates of a level that need no message.
    fn local<E: Engine>(&mut self, e: &mut E, level: usize) -> Result<()> {
        for at in 0..self.circuit.gates.len() {
            if self.level[at] != Some(level) {
                continue;
            }
            let column = match self.circuit.gates[at] {
                Gate::Not(a) => Column::Bits(e.not(self.bits(a))),
                Gate::Xor(a, b) => Column::Bits(self.bits(a).xor(self.bits(b))),
                Gate::Add(a, b) => Column::Numbers(e.add(self.numbers(a), self.numbers(b))?),
                Gate::Subtract(a, b) => Column::Numbers(e.sub(self.numbers(a), self.numbers(b))?),
                Gate::Scale(a, factor) => Column::Numbers(self.numbers(a).times(Z64(factor))),
                Gate::Shift(a, by) => Column::Numbers(e.add_public(self.numbers(a), &vec![Z64(by); self.rows[at]])?),
                _ => continue,
            };
            self.columns[at] = column;
            self.release(at);
        }
        Ok(())
    }

    /// Forgets what no later gate needs.
    fn release(&mut self, at: usize) {
        for operand in operands(&self.circuit.gates[at]) {
            self.uses[operand] -= 1;
            if self.uses[operand] == 0 {
                self.columns[operand] = Column::Missing;
            }
        }
    }

    fn keep_bits(&mut self, batch: &[usize], all: &BitShare) {
        let mut first = 0;
        for at in batch {
            let words = self.rows[*at] / 64;
            let own = all.bits().words()[first..first + words].to_vec();
            self.columns[*at] = Column::Bits(BitShare::new(Bits::from_words(self.rows[*at], 1, own)));
            first += words;
        }
    }

    fn keep_numbers(&mut self, batch: &[usize], all: &ArithShare<Z64>) {
        let mut first = 0;
        for at in batch {
            self.columns[*at] = Column::Numbers(all.slice(first..first + self.rows[*at]));
            first += self.rows[*at];
        }
    }

    fn bits(&self, bit: Bit) -> &BitShare {
        match &self.columns[bit.0] {
            Column::Bits(bits) => bits,
            // A circuit only makes gates of earlier ones, levels follow operands, and types keep bits apart from numbers.
            _ => unreachable!("an operand has run and is a bit"),
        }
    }

    fn numbers(&self, number: Number) -> &ArithShare<Z64> {
        match &self.columns[number.0] {
            Column::Numbers(numbers) => numbers,
            // As for bits.
            _ => unreachable!("an operand has run and is a number"),
        }
    }

    /// Adds up the rows of every output.
    fn finish(self, totals: usize) -> ArithShare<Z64> {
        let mut sums = ArithShare::zeros(totals);
        for (total, number) in &self.circuit.outputs {
            let rows = self.numbers(*number).column();
            let sum = &mut sums.column_mut()[*total];
            *sum = rows.iter().copied().fold(*sum, Ring::add);
        }
        sums
    }
}

fn kind(gate: &Gate) -> Option<Kind> {
    match *gate {
        Gate::And(..) => Some(Kind::And),
        Gate::Negative(_, width) => Some(Kind::Negative(width)),
        Gate::IsZero(_, width) => Some(Kind::IsZero(width)),
        Gate::FromBit(_) => Some(Kind::FromBit),
        Gate::Multiply(..) => Some(Kind::Multiply),
        Gate::Select(..) => Some(Kind::Select),
        _ => None,
    }
}

fn first_bit(gate: &Gate) -> Option<Bit> {
    match *gate {
        Gate::And(a, _) | Gate::FromBit(a) | Gate::Select(a, _) => Some(a),
        _ => None,
    }
}

fn second_bit(gate: &Gate) -> Option<Bit> {
    match *gate {
        Gate::And(_, b) => Some(b),
        _ => None,
    }
}

fn first_number(gate: &Gate) -> Option<Number> {
    match *gate {
        Gate::Negative(a, _) | Gate::IsZero(a, _) | Gate::Multiply(a, _) | Gate::Select(_, a) => Some(a),
        _ => None,
    }
}

fn second_number(gate: &Gate) -> Option<Number> {
    match *gate {
        Gate::Multiply(_, b) => Some(b),
        _ => None,
    }
}

fn find(segments: &[Segment], place: Place) -> std::result::Result<(usize, &Holder), &'static str> {
    let segment = segments.iter().find(|segment| segment.receiver == place.receiver);
    let segment = segment.ok_or("a receiver whose bins are missing")?;
    let holder = segment.holders.iter().find(|holder| holder.site == place.site);
    // Columns of whole words can be cut and joined without shifting.
    Ok((segment.rows.next_multiple_of(64), holder.ok_or("a site that was not matched")?))
}

/// One plane, with zeros behind the last row.
pub(in crate::relational) fn padded_bits(bits: &BitShare, plane: usize) -> BitShare {
    let (rows, mut words) = (bits.rows(), bits.bits().plane(plane).to_vec());
    if let Some(last) = words.last_mut()
        && rows % 64 != 0
    {
        *last &= (1 << (rows % 64)) - 1;
    }
    BitShare::new(Bits::from_words(rows.next_multiple_of(64), 1, words))
}

fn concat_bits(parts: &[&BitShare]) -> BitShare {
    let rows = parts.iter().map(|part| part.rows()).sum::<usize>();
    let mut words = Vec::with_capacity(rows / 64);
    parts.iter().for_each(|part| words.extend_from_slice(part.bits().words()));
    BitShare::new(Bits::from_words(rows, 1, words))
}

/// Rows of one batch: 16 MiB for each column of numbers that is under way.
const MAX_ROWS: usize = 1 << 21;
