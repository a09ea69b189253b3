//! Sums of doubles without rounding.

/// An exact sum of doubles: numbers that do not overlap, smallest first, whose sum is the sum of all that was added.
///
/// # Source
/// J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates", 1997: GROW-EXPANSION
/// (figure 6) with TWO-SUM, and TWO-PRODUCT by a fused multiply-add.
///
/// # Deviations
/// Zero components are dropped, so that the length follows the spread of the values and not their number.
#[derive(Debug, Clone, Default)]
pub(super) struct ExactSum {
    parts: Vec<f64>,
}

impl ExactSum {
    /// Adds a finite double.
    pub(super) fn add(&mut self, value: f64) {
        let mut carry = value;
        let mut kept = 0;
        for i in 0..self.parts.len() {
            let (sum, error) = two_sum(carry, self.parts[i]);
            if error != 0.0 {
                self.parts[kept] = error;
                kept += 1;
            }
            carry = sum;
        }
        self.parts.truncate(kept);
        if carry != 0.0 {
            self.parts.push(carry);
        }
    }

    /// Adds the product of two finite doubles; exact down to 2^-1074, far below any scale.
    pub(super) fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        // An infinite product has no error term; it is found when the sum is rounded.
        if product.is_finite() {
            self.add(a.mul_add(b, -product));
        }
    }

    /// The sum times 2^`fraction_bits`, rounded once to the nearest integer (ties upwards); none beyond 127 bits.
    pub(super) fn round(&self, fraction_bits: u8) -> Option<i128> {
        let unit = 2f64.powi(i32::from(fraction_bits));
        let mut scaled = Self { parts: self.parts.iter().map(|part| part * unit).collect() };
        scaled.add(0.5);
        // The floor of a sum of numbers that do not overlap: the first one that is not an integer decides, because the
        // smaller ones together are less than its last bit.
        let mut floor = 0i128;
        for part in scaled.parts.iter().rev() {
            if part.is_nan() || part.abs() >= 2f64.powi(127) {
                return None;
            }
            floor = floor.checked_add(part.floor() as i128)?;
            if part.fract() != 0.0 {
                break;
            }
        }
        Some(floor)
    }
}

/// The rounded sum and its rounding error, exactly.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    let a_part = sum - b_part;
    (sum, (a - a_part) + (b - b_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64], fraction_bits: u8) -> Option<i128> {
        let mut sum = ExactSum::default();
        values.iter().for_each(|v| sum.add(*v));
        sum.round(fraction_bits)
    }

    #[test]
    fn cancellation_loses_nothing() {
        assert_eq!(sum(&[1e16, 1.0, -1e16], 0), Some(1));
        assert_eq!(sum(&[1e300, 2f64.powi(-20), -1e300], 20), Some(1));
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100], 1), Some(4));
        assert_eq!(sum(&[0.1, 0.2, -0.3], 54), Some(1));
    }

    #[test]
    fn the_one_rounding_is_to_nearest() {
        assert_eq!(sum(&[2.5], 0), Some(3));
        assert_eq!(sum(&[-2.5], 0), Some(-2));
        assert_eq!(sum(&[2.5, -1e-300], 0), Some(2));
        assert_eq!(sum(&[-2.5, -1e-300], 0), Some(-3));
        assert_eq!(sum(&[0.49999999999999994], 0), Some(0));
        assert_eq!(sum(&[], 24), Some(0));
        assert_eq!(sum(&[5e-324, -5e-324], 60), Some(0));
    }

    #[test]
    fn sums_beyond_127_bits_have_no_integer() {
        assert_eq!(sum(&[2f64.powi(126)], 0), Some(1 << 126));
        assert_eq!(sum(&[2f64.powi(127)], 0), None);
        assert_eq!(sum(&[f64::MAX, f64::MAX], 0), None);
        assert_eq!(sum(&[f64::MAX], 60), None);
        let mut product = ExactSum::default();
        product.add_product(1e200, 1e200);
        assert_eq!(product.round(0), None);
    }

    #[test]
    fn products_are_exact() {
        let x = 134_217_729.0; // 2^27 + 1: its square needs 55 bits
        let mut sum = ExactSum::default();
        sum.add_product(x, x);
        assert_eq!(sum.round(0), Some(134_217_729 * 134_217_729));
    }

    #[test]
    fn random_sums_equal_integer_sums() {
        let seed = 0x5eed_u64;
        println!("seed {seed}");
        let mut state = seed;
        for round in 0..200 {
            let (mut exact, mut plain) = (ExactSum::default(), 0i128);
            for _ in 0..50 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let mantissa = (state >> 11) as i64 - (1 << 52);
                let shift = (state & 31) as u32;
                exact.add(mantissa as f64 * 2f64.powi(shift as i32 - 20));
                plain += i128::from(mantissa) << shift;
            }
            assert_eq!(exact.round(20), Some(plain), "round {round}");
        }
    }
}
