//! Steps of a matching that take many OTs in both directions: rows in chunks, chunks in windows.

use std::ops::Range;

use mpc_core::{PartyId, Result, Session};

use crate::ot::{Offered, Ot, Received};

/// Chunks under way at once: each holds the chooser's rows of at most [`crate::ot::CALL_WORDS`] words of OTs, 4 MiB.
pub(crate) const WINDOW: usize = 8;

/// Rows for which one side chooses in OTs and the other answers each choice with a message.
pub(super) trait Stage {
    /// What a row takes.
    fn shape(&self) -> StageShape;

    /// Our choices for these rows: the words of one plane after the other.
    fn choices(&self, rows: Range<usize>) -> Vec<u64>;

    /// What we answer to the other side's choices for these rows.
    fn answer(&mut self, rows: Range<usize>, offered: &Offered) -> Vec<u64>;

    /// The other side's answer to our choices for these rows.
    fn take(&mut self, rows: Range<usize>, received: &Received, answer: &[u64]);
}

/// Sizes of a stage, all public.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageShape {
    /// Rows of a chunk, a multiple of 64.
    pub chunk: usize,
    /// OTs of a row.
    pub ots: usize,
    /// Words of the answer for a row.
    pub answer: usize,
}

impl StageShape {
    /// The chunks of these rows, in windows.
    pub fn windows(&self, rows: Range<usize>) -> Vec<Vec<Range<usize>>> {
        let cut = |start: usize| start..rows.end.min(start + self.chunk);
        let chunks: Vec<_> = rows.clone().step_by(self.chunk).map(cut).collect();
        chunks.chunks(WINDOW).map(<[_]>::to_vec).collect()
    }

    /// Words of choices for a chunk.
    pub fn words(&self, rows: &Range<usize>) -> usize {
        self.ots * rows.len().div_ceil(64)
    }
}

/// The rows in which each of two sites chooses, so that both have the same work: the first half, in whole words, for the lower
/// number. Ours, then theirs.
pub(crate) fn halves(me: PartyId, with: PartyId, rows: usize) -> [Range<usize>; 2] {
    let middle = (rows.div_ceil(128) * 64).min(rows);
    let (first, second) = (0..middle, middle..rows);
    if me < with { [first, second] } else { [second, first] }
}

/// Goes through a stage with one other site: `own` are the rows in which we choose, `theirs` those in which they do. Two rounds for
/// each window; 4 bytes an OT in which a site chooses, and 8 a word in which it answers.
pub(super) async fn run(
    session: &mut Session,
    ot: &mut Ot,
    with: PartyId,
    stage: &mut impl Stage,
    [own, theirs]: [Range<usize>; 2],
) -> Result<()> {
    let shape = stage.shape();
    let (own, theirs) = (shape.windows(own), shape.windows(theirs));
    for window in 0..own.len().max(theirs.len()) {
        let of = |windows: &[Vec<Range<usize>>]| windows.get(window).cloned().unwrap_or_default();
        one_window(session, ot, with, stage, [of(&own), of(&theirs)]).await?;
    }
    Ok(())
}

async fn one_window(
    session: &mut Session,
    ot: &mut Ot,
    with: PartyId,
    stage: &mut impl Stage,
    [own, theirs]: [Vec<Range<usize>>; 2],
) -> Result<()> {
    let shape = stage.shape();
    let ots = |chunks: &[Range<usize>]| chunks.iter().map(|rows| 64 * shape.words(rows)).sum::<usize>();
    ot.prepare(session, &[with], ots(&own).max(ots(&theirs))).await?;
    let mut chosen = Vec::with_capacity(own.len());
    for rows in &own {
        let choices = zeroize::Zeroizing::new(stage.choices(rows.clone()));
        chosen.push(ot.receiver(with).choose(session, &choices)?);
    }
    for rows in theirs {
        let offered = ot.sender(with).offer(session, shape.words(&rows)).await?;
        session.send(with, &stage.answer(rows, &offered))?;
    }
    for (rows, received) in own.into_iter().zip(chosen) {
        let answer: Vec<u64> = session.recv(with, shape.answer * rows.len()).await?;
        stage.take(rows, &received, &answer);
    }
    Ok(())
}
