//! Shared rows times a shared bit: what is not a member's becomes shares of zero.
//!
//! Both sites hold a share b_i of the bit and a summand c_i of every word of the row. (b_0 ⊕ b_1)·(c_0 + c_1) is the sum, over
//! both, of b_i·c_i, which site i has, and of b_j·(c_i − 2·b_i·c_i), one OT in which j chooses: the messages differ by c_i, or by
//! its negative where b_i is 1. For words that are shared by XOR, + is ⊕ and the two are the same.
//!
//! # Source
//! Multiplexer from two OTs: Rathee et al., CrypTFlow2, CCS'20 (ePrint 2020/1002), §3.1.5 and appendix A.3, with correlated OT as in
//! Asharov–Lindell–Schneider–Zohner, CCS'13, §5. Longer rows: the OT's mask is stretched, as in `correlation/masks.rs`.

use std::ops::Range;

use mpc_core::{PartyId, Result, Session};
use zeroize::Zeroizing;

use super::windows::{Stage, StageShape, run};
use crate::correlation::{Expansion, Layout, MaskBuffer};
use crate::ot::{CALL_WORDS, Offered, Ot, Received};

/// This site's share of the rows times the bits. `member` is its share of the bits, 64 to a word; `words` its summands of the
/// rows, row by row, of lanes as `layout` says.
///
/// Two rounds for each window of 8 chunks; 4 bytes and 8 a lane for each row.
///
/// # Errors
/// As [`Session::recv`] says.
pub(super) async fn times_member(
    session: &mut Session,
    ot: &mut Ot,
    with: PartyId,
    member: &[u64],
    words: Zeroizing<Vec<u64>>,
    layout: &Layout,
) -> Result<Zeroizing<Vec<u64>>> {
    let lanes = layout.lanes();
    if lanes == 0 {
        return Ok(words);
    }
    let mut session = session.step("payload");
    let rows = words.len() / lanes;
    let mut product = Product::new(&session, with, member, words, layout);
    run(&mut session, ot, with, &mut product, [0..rows, 0..rows]).await?;
    Ok(product.product)
}

/// Sizes of the step.
pub(crate) fn shape(lanes: usize) -> StageShape {
    let tile = 64 * mpc_core::block::TILE_WORDS;
    let chunk = (128 * CALL_WORDS / lanes.max(2) / tile * tile).max(tile);
    StageShape { chunk, ots: 1, answer: lanes }
}

struct Product<'a> {
    member: &'a [u64],
    layout: &'a Layout,
    /// b_i·c_i first; the OTs add the rest.
    product: Zeroizing<Vec<u64>>,
    /// What our messages differ by.
    factor: Zeroizing<Vec<u64>>,
    offered: Expansion,
    chosen: Expansion,
    masks: [MaskBuffer; 2],
}

impl<'a> Product<'a> {
    fn new(
        session: &Session,
        with: PartyId,
        member: &'a [u64],
        words: Zeroizing<Vec<u64>>,
        layout: &'a Layout,
    ) -> Self {
        let (me, lanes) = (session.me(), layout.lanes());
        let (mut product, mut factor) = (words.clone(), words);
        for (row, product) in product.chunks_exact_mut(lanes).enumerate() {
            let mask = all_if(member, row);
            product.iter_mut().for_each(|word| *word &= mask);
        }
        layout.sub_from(&mut factor, &product);
        layout.sub_from(&mut factor, &product);
        let longest = shape(lanes).chunk.min(product.len() / lanes);
        let masks = [MaskBuffer::new(longest, lanes), MaskBuffer::new(longest, lanes)];
        let (offered, chosen) = (Expansion::new(session, me, with), Expansion::new(session, with, me));
        Self { member, layout, product, factor, offered, chosen, masks }
    }

    fn lanes_of(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.layout.lanes()..rows.end * self.layout.lanes()
    }
}

/// All ones where the bit of this row is 1.
fn all_if(bits: &[u64], row: usize) -> u64 {
    (bits[row / 64] >> (row % 64) & 1).wrapping_neg()
}

impl Stage for Product<'_> {
    fn shape(&self) -> StageShape {
        shape(self.layout.lanes())
    }

    fn choices(&self, rows: Range<usize>) -> Vec<u64> {
        self.member[rows.start / 64..rows.end.div_ceil(64)].to_vec()
    }

    fn answer(&mut self, rows: Range<usize>, offered: &Offered) -> Vec<u64> {
        let lanes = self.lanes_of(&rows);
        let [zero, one] = &mut self.masks;
        offered.hash_into(&mut zero.blocks, &mut one.blocks);
        zero.expand(&self.offered, &rows);
        one.expand(&self.offered, &rows);
        let mut answer = zero.words.to_vec();
        self.layout.add_to(&mut answer, &self.factor[lanes.clone()]);
        self.layout.sub_from(&mut answer, &one.words);
        self.layout.sub_from(&mut self.product[lanes], &zero.words);
        answer
    }

    fn take(&mut self, rows: Range<usize>, received: &Received, answer: &[u64]) {
        let lanes = self.lanes_of(&rows);
        let mask = &mut self.masks[0];
        received.hash_into(&mut mask.blocks);
        mask.expand(&self.chosen, &rows);
        let mut chosen = Zeroizing::new(answer.to_vec());
        for (row, words) in rows.zip(chosen.chunks_exact_mut(self.layout.lanes())) {
            let all = all_if(self.member, row);
            words.iter_mut().for_each(|word| *word &= all);
        }
        self.layout.add_to(&mut self.product[lanes.clone()], &chosen);
        self.layout.add_to(&mut self.product[lanes], &mask.words);
    }
}
