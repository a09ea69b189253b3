use crate::ot::Ot;
use mpc_core::{Result, Session};

pub(crate) struct Shuffle;

impl Shuffle {
    pub async fn random(_s: &mut Session, _ot: &mut Ot, _rows: usize, _xor: usize, _add: usize) -> Result<Self> {
        Ok(Self)
    }

    pub fn is_for(&self, _rows: usize, _xor: usize, _add: usize) -> bool {
        true
    }

    pub async fn apply(self, _s: &mut Session, rows: Vec<u64>) -> Result<Vec<u64>> {
        Ok(rows)
    }
}
