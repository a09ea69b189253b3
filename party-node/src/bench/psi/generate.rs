//! Generated sets: two files of identifiers, half common, the same in every run, and the answer.

use std::fs;
use std::path::{Path, PathBuf};

use super::Files;
use crate::fault::NodeError;

/// Largest exponent of a set's size: 2^24 keys are the most that matching takes.
pub const MAX_LOG_SIZE: u32 = 24;

/// Generated files and what must come of them. The folder vanishes when this is dropped.
pub struct Generated {
    folder: PathBuf,
    /// The two sets, and where the answer goes.
    pub files: Files,
    /// The answer file, to the byte.
    pub answer: String,
}

impl Generated {
    /// Writes two sets of 2^`log_size` identifiers of 16 digits.
    ///
    /// # Errors
    /// `BAD_NUMBER_OF_ELEMENTS` above 2^24, `CANNOT_WRITE`.
    pub fn new(log_size: u32) -> Result<Generated, NodeError> {
        if log_size > MAX_LOG_SIZE {
            return Err(NodeError::new("BAD_NUMBER_OF_ELEMENTS", format!("matching takes sets of 2^{MAX_LOG_SIZE}")));
        }
        let folder = std::env::temp_dir().join(format!("consilium-bench-{}", std::process::id()));
        let at = |name: &str| folder.join(name);
        let files = Files { left: at("left.csv"), right: at("right.csv"), column: "id".into(), out: at("out.csv") };
        let (left, right) = (Set::new(log_size, 0), Set::new(log_size, 1));
        let generated = Generated { answer: left.text(|n| right.contains(n)), files, folder };
        fs::create_dir_all(&generated.folder).map_err(|e| cannot_write(&generated.folder, &e))?;
        for (path, set) in [(&generated.files.left, &left), (&generated.files.right, &right)] {
            fs::write(path, set.text(|_| true)).map_err(|e| cannot_write(path, &e))?;
        }
        Ok(generated)
    }
}

impl Drop for Generated {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn cannot_write(path: &Path, error: &std::io::Error) -> NodeError {
    NodeError::new("CANNOT_WRITE", format!("{}: {error}", path.display()))
}

/// Of the numbers 0, 1, 2, … the left set has the first n, the right one n from n/2 on; each in an order of its own.
struct Set {
    size: u64,
    first: u64,
    stride: u64,
}

impl Set {
    fn new(log_size: u32, side: u64) -> Self {
        let size = 1u64 << log_size;
        // Odd strides go through all of a power of two.
        Self { size, first: side * (size / 2), stride: 0x9e37_79b9 + 2 * side }
    }

    fn contains(&self, number: u64) -> bool {
        (self.first..self.first + self.size).contains(&number)
    }

    fn text(&self, keep: impl Fn(u64) -> bool) -> String {
        let mut text = String::with_capacity(3 + 17 * self.size as usize);
        text.push_str("id\n");
        for i in 0..self.size {
            let number = self.first + i.wrapping_mul(self.stride) % self.size;
            if keep(number) {
                text.push_str(&identifier(number).to_string());
                text.push('\n');
            }
        }
        text
    }
}

/// 16 digits that look arbitrary and differ for different numbers below 9·10^15, to which the factor is prime.
fn identifier(number: u64) -> u64 {
    const SPAN: u128 = 9_000_000_000_000_000;
    1_000_000_000_000_000 + (u128::from(number) * 7_777_777_777_777_777_781 % SPAN) as u64
}
