//! Messages of all sites, counted without sending any: who has to wait for whom decides the rounds.

use super::{SiteCost, message};
use crate::additive::opening::{part, scatters};
use crate::additive::traffic::{Opened, Step};

/// What each site has sent, and the longest chain of messages that has reached it.
pub(super) struct Tally {
    depth: Vec<u32>,
    bytes: Vec<u64>,
}

impl Tally {
    pub fn new(sites: usize) -> Self {
        Self { depth: vec![0; sites], bytes: vec![0; sites] }
    }

    /// The longest chain, and the bytes of the site that sends most.
    pub fn cost(&self) -> SiteCost {
        let rounds = self.depth.iter().copied().max().unwrap_or(0);
        SiteCost { rounds, bytes: self.bytes.iter().copied().max().unwrap_or(0) }
    }

    pub fn sites(&self) -> usize {
        self.depth.len()
    }

    pub fn depth(&self, site: usize) -> u32 {
        self.depth[site]
    }

    pub fn sends(&mut self, site: usize, bytes: u64) {
        self.bytes[site] += bytes;
    }

    /// A message that was sent at this depth arrives.
    pub fn receives(&mut self, site: usize, sent_at: u32) {
        self.depth[site] = self.depth[site].max(sent_at + 1);
    }

    /// Every site sends every other one a message, and waits for theirs.
    pub fn meet(&mut self, bytes: u64) {
        let sent_at = self.depth.clone();
        for (me, from) in
            (0..self.sites()).flat_map(|a| (0..sent_at.len()).map(move |b| (a, b))).filter(|(a, b)| a != b)
        {
            self.sends(from, bytes);
            self.receives(me, sent_at[from]);
        }
    }

    /// All at once: `asks(a, b)` says whether a asks b; b answers each when it has heard it, in order, and then waits for its own
    /// answers. Bytes with their headers.
    pub fn ask_and_answer(&mut self, group: &[usize], asks: impl Fn(usize, usize) -> bool, question: u64, answer: u64) {
        self.ask_and_answer_each(group, |a, b| asks(a, b).then_some((question, answer)));
    }

    /// The same where questions and answers differ: those of a to b and back.
    pub fn ask_and_answer_each(&mut self, group: &[usize], of: impl Fn(usize, usize) -> Option<(u64, u64)>) {
        let asks = |a: usize, b: usize| of(a, b).is_some();
        let pairs = || group.iter().flat_map(|a| group.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b);
        let asked_at = self.depth.clone();
        let mut answered_at = vec![vec![0; self.sites()]; self.sites()];
        for (me, from) in pairs().filter(|(me, from)| asks(*from, *me)) {
            let (question, answer) = of(from, me).unwrap_or_default();
            self.sends(from, question);
            self.receives(me, asked_at[from]);
            self.sends(me, answer);
            answered_at[me][from] = self.depth[me];
        }
        for (me, from) in pairs().filter(|(me, from)| asks(*me, *from)) {
            self.receives(me, answered_at[from][me]);
        }
    }

    pub fn open_all(&mut self, steps: &[Step]) {
        steps.iter().for_each(|step| self.open(step));
    }

    /// As `additive/opening.rs` does.
    fn open(&mut self, step: &Step) {
        let sent_at = self.depth.clone();
        let mut summed_at = vec![vec![0; self.sites()]; step.len()];
        for me in 0..self.sites() {
            for (column, summed_at) in step.iter().zip(&mut summed_at).filter(|(column, _)| column.has(me)) {
                column.others(me).for_each(|from| self.receives(me, sent_at[from]));
                self.sends(me, column.bytes_of(me));
                summed_at[me] = self.depth[me];
            }
        }
        for (column, summed_at) in step.iter().zip(&summed_at).filter(|(column, _)| column.scatters()) {
            for me in column.group.iter().map(|p| p.index()) {
                column.others(me).for_each(|from| self.receives(me, summed_at[from]));
            }
        }
    }
}

impl Opened {
    fn has(&self, site: usize) -> bool {
        self.group.iter().any(|p| p.index() == site)
    }

    fn others(&self, me: usize) -> impl Iterator<Item = usize> {
        self.group.iter().map(|p| p.index()).filter(move |p| *p != me)
    }

    fn scatters(&self) -> bool {
        scatters(self.group.len(), self.elements * self.element_bytes)
    }

    /// The whole column to every other member; with reduce-scatter its part to each, and the sum of the own part to all.
    fn bytes_of(&self, me: usize) -> u64 {
        let members = self.group.len();
        let others = members as u64 - 1;
        let part_of = |at: usize| {
            let elements = if self.scatters() { part(self.elements, members, at).len() } else { self.elements };
            message((elements * self.element_bytes) as u64)
        };
        if !self.scatters() {
            return others * part_of(0);
        }
        let places = self.group.iter().enumerate();
        places.map(|(at, p)| if p.index() == me { others * part_of(at) } else { part_of(at) }).sum()
    }
}
