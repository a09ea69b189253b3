//! Protocols over one concrete [`mpc_core::Session`]: plain async functions that read like their papers.
//!
//! | protocol | parties | security | source | rounds | bytes sent by a site | file |
//! |---|---|---|---|---|---|---|
//! | masked sum, opened to all | 2–20 sites | semi-honest, dishonest majority | Bonawitz et al. CCS'17 §4.0.1 (pairwise masks), commit and echo | 3 (2 for two sites) | (N−1)·(8 or 16 per element + commitment, echo, salt) | `additive/reveal.rs` |
//! | masked sum, sealed | 2–20 sites and an analyst | the same; sites learn nothing | the same | 3 (2 for two sites) | 8 or 16 per element + echo and salt to the analyst, commitment and echo to each site | `additive/reveal.rs` |
//! | union of keys | 2–20 sites and an analyst | the same, given that each key's count is released | Goodrich–Mitzenmacher 2011 (sketch) with random weights, argued in the file | a sealed sum, then 2 | the sealed sum of 2·max_groups cells for each contributor | `key_union.rs` |
//! | base OT | 2–20 sites, in pairs | malicious, dishonest majority | Masny–Rindal CCS'19 (endemic) | 1 | 8,256 to each other site | `ot/base.rs` |
//! | OT extension | 2–20 sites, in pairs | semi-honest, dishonest majority | Roy Crypto'22 (SoftSpokenOT, k = 4) | 1 to set up, then 1 | 3,104 to each other site, then 4 per OT from its receiver | `ot/soft_spoken.rs` |
//! | silent OT | 2–20 sites, in pairs | semi-honest, dishonest majority, dual LPN with regular noise | Boyle et al. CCS'19, code of Raghuraman–Rindal–Tanguy Crypto'23 | 2 for a batch, then 1 | a batch of 2^20 for each other site: 13,312 as receiver and 110,592 as sender, then a bit per OT from its receiver | `ot/silent/` |
//! | VOLE over GF(2^128) | 2 sites | semi-honest, dishonest majority, dual LPN over GF(2^128) with regular noise | Boyle et al. CCS'18, CCS'19; code of Raghuraman–Rindal–Tanguy Crypto'23 over the large field | 3 | for 1.4·10^6 elements 327,936 by the receiver and 249,344 by the sender | `matching/vole.rs` |
//! | OPRF | 2 sites | the same, and a correlation-robust hash | Rindal–Schoppmann Eurocrypt'21, Raghuraman–Rindal CCS'22 §5, semi-honest | a VOLE, then 1 | a VOLE, and 16 for each row of an encoding (1.28 a key) by the receiver | `matching/oprf.rs` |
//! | a permutation one site knows, prepared | 2–20 sites | semi-honest, dishonest majority | Mohassel–Sadeghian Eurocrypt'13 §4, Chase et al. Asiacrypt'20 §3 | 2 for each window of 2^22 OTs | its owner 4·S to each other site, which sends back 8·L·S (S switches, L lanes of a row) | `correlation/permutation.rs` |
//! | permute, shuffle | 2–20 sites | the same; a shuffle's order is nobody's | Chase et al. Asiacrypt'20 §4 | 1; N for a shuffle | 8·L per row to the owner; to each other site for a shuffle | `correlation/permutation.rs` |
//! | bit triples | 2–20 sites, any group of g | semi-honest, dishonest majority | Asharov et al. CCS'13 §5.1; GMW for g sites | 2 for a batch of 2^17 | 4⅛ for each triple and OT pair, to each other member | `correlation/bit_triples.rs` |
//! | ring triples (Z64, Z128) | 2–20 sites | the same | Gilboa Crypto'99; ABY NDSS'15 §III-A.5 | 2 for a batch of 4096 | in Z64 544 for each triple to each other site | `correlation/ring_triples.rs` |
//! | daBits, selections | 2–20 sites | the same | Rotaru–Wood Indocrypt'19; the chain is argued in the file | N, 2N for a batch | one, three OTs of 4 + 8 for each pair of sites | `correlation/{dabits,selections}.rs` |
//! | edaBits | 2–20 sites | the same | Escudero et al. Crypto'20 §4 | those of an adder | those of an adder | `correlation/edabits.rs` |
//! | multiply | 2–20 sites | the same | Beaver Crypto'91, opening by reduce-scatter | 1 (2 by reduce-scatter) | 16 per product to each other site; by reduce-scatter 32·(N−1)/N in all | `additive/multiply.rs` |
//! | AND | 2–20 sites | the same | Beaver Crypto'91 | 1 (2) | ¼ per AND to each other site, less by reduce-scatter | `additive/and.rs` |
//! | bits of a number, sign, zero test | 2–20 sites | the same | ABY NDSS'15 §IV-B in a tree of groups; from 4 sites the sign by an edaBit (Crypto'20 §5); prefix chains: Sklansky 1960 | w − 1 by ripple, 1 + log2 w a level by prefix | ¼ per AND and member: see the files | `additive/{adder,prefix,compare}.rs` |
//! | bit to number, selection | 2–20 sites | the same | Rotaru–Wood Indocrypt'19 §4; Beaver's technique | 1 (2) | ⅛, and 8 or 16 per selection, to each other site | `additive/multiply.rs` |
//! | apply a shared permutation | 2–20 sites | the same; only shuffled places are opened | Asharov et al. CCS'22 | N + 1 (N + 2) | a shuffle and 4 a row | `additive/rows.rs` |
//! | set intersection | 2 sites | semi-honest, dishonest majority; dual LPN over GF(2^128), or Diffie–Hellman for small sets | Raghuraman–Rindal CCS'22; Jarecki et al. Asiacrypt'14 | 5; 2 | at 2^20 keys each 8.4 MB from the sender, 21.8 MB from the receiver | `matching/{psi,okvs,ecdh}.rs` |
//! | circuit-PSI with payload | two of 2–20 sites | semi-honest, dishonest majority; the OPRF assumes dual LPN | Pinkas et al. Eurocrypt'19 §5, Rindal–Schoppmann Eurocrypt'21 §7, Couteau ACNS'18 §4 | 9 and more, by windows | about 200 a bin from each of the two: see `cost/matching.rs` | `matching/circuit_psi.rs` |
//! | alignment of patients | 2–20 sites, in pairs | the same | a cuckoo table with a proven bound, one circuit-PSI for each pair | those of the longest chain of pairs, and 1 | those of a site's pairs | `matching/align.rs` |
//! | frequent keys | 2–20 sites | the same | an alignment of keys, opened after a shuffle as Asharov et al. CCS'22 | those of an alignment of every site with every other, a comparison, a shuffle and two openings | at 4096 keys of 9 bytes 7.8 MB for two sites, 91 MB for five | `relational/frequent_keys.rs` |
//! | differencing check | 2–20 sites | the same; one bit is opened | argued in the file; full adders after Boyar–Peralta–Pochuev 2000 | those of an alignment of every site with every other, then 40 to 70; for few pairs of sets with those before it, and fewer | for three sites of 1,400 patients and 20 pairs of sets 4.5 MB in the first form, 4,000 pairs 92 MB | `relational/differencing/` |
//!
//! Operators made of these, for any engine, are listed in [`relational`]. Exact bytes are in [`cost`], and a test compares them with what sessions count.

pub mod additive;
pub mod clear;
pub mod correlation;
pub mod cost;
pub mod engine;
pub mod key_union;
pub mod matching;
pub mod ot;
pub mod parameters;
pub mod relational;
pub mod release;
pub mod share;
pub mod sketch;

pub use engine::{Engine, Rows};
pub use release::noise::{MAX_VARIANCE, Noise, NoiseError};
pub use release::{Audience, Item, Kind, Opening, Permit, Statement};
pub use share::{ArithShare, BitShare};
