//! Products with triples: number by number, and bit by number.

use mpc_core::bits::xor_words;
use mpc_core::{Bits, PowerOfTwo, Result, Session};

use super::all_sites;
use super::opening::{Opening, open};
use crate::correlation::Pool;
use crate::share::{ArithShare, BitShare};

/// Element-wise product. One round (two with reduce-scatter); two elements opened and one ring triple for each product.
///
/// # Source
/// Beaver, Crypto'91.
pub(super) async fn mul<R: PowerOfTwo>(
    s: &mut Session,
    pool: &mut Pool,
    a: &ArithShare<R>,
    b: &ArithShare<R>,
) -> Result<ArithShare<R>> {
    let mut s = s.step("mul");
    let mut triple = pool.ring_triples::<R>(&s, a.len())?;
    let mut masked = Vec::with_capacity(2 * a.len());
    R::append_masked(&mut masked, a.column(), &triple.a);
    R::append_masked(&mut masked, b.column(), &triple.b);
    let group = all_sites(&s);
    let first = group.first() == Some(&s.me());
    let opened = open(&mut s, vec![Opening::new(group, masked, R::add_columns)]).await?.remove(0);
    let (d, e) = opened.split_at(a.len());
    let mut c = std::mem::take(&mut triple.c);
    R::beaver_mul(&mut c, &triple.a, &triple.b, (d, e), first);
    Ok(ArithShare::new(c))
}

/// Every bit as a number, plane by plane. One round; one bit opened and one daBit for each bit.
///
/// b = c ⊕ r is opened as c under the daBit's bit r; b as a number is c + r − 2cr.
///
/// # Source
/// Rotaru–Wood, Indocrypt'19, §4.
pub(super) async fn b2a<R: PowerOfTwo>(s: &mut Session, pool: &mut Pool, bits: &BitShare) -> Result<ArithShare<R>> {
    let mut s = s.step("b2a");
    let (bits, stride) = (bits.bits(), bits.bits().stride());
    let mut mask = pool.dabits::<R>(&s, bits.words().len())?;
    xor_words(&mut mask.bits, bits.words());
    let group = all_sites(&s);
    let first = group.first() == Some(&s.me());
    let masked = std::mem::take(&mut mask.bits);
    let opened = open(&mut s, vec![Opening::new(group, masked, xor_words)]).await?.remove(0);
    let mut column = Vec::with_capacity(bits.width() * bits.rows());
    for plane in 0..bits.width() {
        let opened = &opened[plane * stride..(plane + 1) * stride];
        let numbers = &mask.numbers[plane * stride * 64..][..bits.rows()];
        column.extend(numbers.iter().enumerate().map(|(i, r)| flip(*r, opened[i / 64] >> (i % 64) & 1, first)));
    }
    Ok(ArithShare::new(column))
}

/// c + r − 2cr for a public bit c and a shared bit r.
fn flip<R: PowerOfTwo>(r: R, c: u64, first: bool) -> R {
    // The bit is public: it was opened.
    if c == 0 { r } else { R::from_low(u128::from(first)).sub(r) }
}

/// The element where the bit is 1. One round (two with reduce-scatter); one bit and one element opened and one selection for
/// each.
///
/// With c = b ⊕ r and e = x − y opened: r·x = r·e + r·y, and b·x is r·x if c = 0, x − r·x if c = 1.
///
/// # Source
/// Beaver's technique, with the correlation of `correlation/selections.rs`.
pub(super) async fn select<R: PowerOfTwo>(
    s: &mut Session,
    pool: &mut Pool,
    choice: &Bits,
    a: &ArithShare<R>,
) -> Result<ArithShare<R>> {
    let mut s = s.step("select");
    let mut mask = pool.selections::<R>(&s, choice.stride())?;
    xor_words(&mut mask.bits, choice.plane(0));
    let masked_bits = std::mem::take(&mut mask.bits);
    let masked = a.column().iter().zip(&mask.y).map(|(x, y)| x.sub(*y)).collect();
    let group = all_sites(&s);
    let mut bits = Opening::new(group.clone(), masked_bits, xor_words);
    let mut elements = Opening::new(group, masked, R::add_columns);
    let (c, e) = {
        let mut s = s.step("open");
        bits.start(&mut s)?;
        elements.start(&mut s)?;
        bits.settle(&mut s).await?;
        elements.settle(&mut s).await?;
        (bits.conclude(&mut s).await?, elements.conclude(&mut s).await?)
    };
    let product = |i: usize, x: &R| {
        let inner = mask.numbers[i].mul(e[i]).add(mask.products[i]);
        if c[i / 64] >> (i % 64) & 1 == 0 { inner } else { x.sub(inner) }
    };
    Ok(ArithShare::new(a.column().iter().enumerate().map(|(i, x)| product(i, x)).collect()))
}
