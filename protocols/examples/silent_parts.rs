//! Times the local parts of silent OT.
use std::time::Instant;

use mpc_core::Block;
use mpc_core::doubling::Doubling;
use mpc_core::random::PublicSeed;
use protocols::ot::silent::expand_convolute::ExpandConvolute;
use protocols::parameters::Code;

fn main() {
    let n = 1usize << std::env::args().nth(1).map_or(20, |a| a.parse().unwrap());
    for code in [Code::ExpandConvolute7, Code::ExpandConvolute21] {
        for _ in 0..4 {
            let mut noise = vec![Block(5); 2 * n];
            let start = Instant::now();
            ExpandConvolute::new(code, PublicSeed([1; 32])).compress(&mut noise);
            println!("{code:?}: {:.1} ns per output", start.elapsed().as_nanos() as f64 / n as f64);
        }
    }
    let doubling = Doubling::new([1; 16], [2; 16]);
    for _ in 0..3 {
        let mut trees = vec![Block(7); 2 * n];
        let start = Instant::now();
        for tree in trees.chunks_mut(2 * n / 256) {
            let mut len = 1;
            while len < tree.len() {
                len *= 2;
                std::hint::black_box(doubling.double(&mut tree[..len]));
            }
        }
        println!("trees: {:.1} ns per output", start.elapsed().as_nanos() as f64 / n as f64);
    }
}
