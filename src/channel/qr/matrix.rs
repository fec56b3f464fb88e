//! The modules of a code. The qrcode crate encodes the data; which of the eight masks is best is
//! found here, since 97 % of that crate's time goes into scoring them module by module. A row is a
//! machine word here and a rule of ISO/IEC 18004 (7.8.3) a few shifts.

use qrcode::canvas::{Canvas, MaskPattern, Module};
use qrcode::types::{Color, EcLevel};
use qrcode::{bits, ec};

use super::{Ecc, QrError};

/// A square of dark and light modules.
pub(super) struct Matrix {
    width: u32,
    modules: Vec<Color>,
}

impl Matrix {
    pub(super) fn of(text: &str, ecc: Ecc) -> Result<Self, QrError> {
        let level = match ecc {
            Ecc::L => EcLevel::L,
            Ecc::M => EcLevel::M,
            Ecc::Q => EcLevel::Q,
            Ecc::H => EcLevel::H,
        };
        let failed = |cause| match cause {
            qrcode::types::QrError::DataTooLong => QrError::TextTooLong,
            other => QrError::Encode(other.to_string()),
        };
        let bits = bits::encode_auto(text.as_bytes(), level).map_err(failed)?;
        let version = bits.version();
        let (data, correction) =
            ec::construct_codewords(&bits.into_bytes(), version, level).map_err(failed)?;
        let mut canvas = Canvas::new(version, level);
        canvas.draw_all_functional_patterns();
        canvas.draw_data(&data, &correction);
        let width = version.width();
        let canvas = if u32::from(width.unsigned_abs()) <= u128::BITS {
            canvas.apply_mask(best_mask(&canvas, width));
            canvas
        } else {
            canvas.apply_best_mask()
        };
        Ok(Self {
            width: u32::from(width.unsigned_abs()),
            modules: canvas.into_colors(),
        })
    }

    /// Modules per edge.
    pub(super) fn width(&self) -> u32 {
        self.width
    }

    pub(super) fn dark(&self, x: u32, y: u32) -> bool {
        self.modules[(y * self.width + x) as usize] == Color::Dark
    }
}

type Condition = fn(i16, i16) -> bool;

/// The eight masks of ISO/IEC 18004, table 10; (x, y) is (column, row).
const MASKS: [(MaskPattern, Condition); 8] = [
    (MaskPattern::Checkerboard, |x, y| (x + y) % 2 == 0),
    (MaskPattern::HorizontalLines, |_, y| y % 2 == 0),
    (MaskPattern::VerticalLines, |x, _| x % 3 == 0),
    (MaskPattern::DiagonalLines, |x, y| (x + y) % 3 == 0),
    (MaskPattern::LargeCheckerboard, |x, y| {
        (y / 2 + x / 3) % 2 == 0
    }),
    (MaskPattern::Fields, |x, y| (x * y) % 2 + (x * y) % 3 == 0),
    (MaskPattern::Diamonds, |x, y| {
        ((x * y) % 2 + (x * y) % 3) % 2 == 0
    }),
    (MaskPattern::Meadow, |x, y| {
        ((x + y) % 2 + (x * y) % 3) % 2 == 0
    }),
];

/// The mask with the lowest penalty. The format bits, which differ by mask, are left out of the
/// score: they are 30 modules of hundreds, and any mask decodes.
fn best_mask(canvas: &Canvas, width: i16) -> MaskPattern {
    let count = usize::from(width.unsigned_abs());
    // dark modules and the maskable ones, by row and by column
    let (mut rows, mut columns) = (vec![0_u128; count], vec![0_u128; count]);
    let (mut row_data, mut column_data) = (rows.clone(), rows.clone());
    for (y, at_y) in (0..width).zip(0_usize..) {
        for (x, at_x) in (0..width).zip(0_usize..) {
            let module = canvas.get(x, y);
            let dark = u128::from(module.is_dark());
            let data = u128::from(matches!(module, Module::Unmasked(_)));
            rows[at_y] |= dark << at_x;
            columns[at_x] |= dark << at_y;
            row_data[at_y] |= data << at_x;
            column_data[at_x] |= data << at_y;
        }
    }
    let mut best = (u32::MAX, MaskPattern::Checkerboard);
    let (mut masked_rows, mut masked_columns) = (rows.clone(), columns.clone());
    for (pattern, inverts) in MASKS {
        // every mask repeats after 12 modules in both directions; what hangs over the edge is no
        // data and falls away
        let period = |by_row: bool| -> [u128; 12] {
            std::array::from_fn(|line| {
                let line = i16::try_from(line).unwrap_or(0);
                let twelve = (0..12_i16)
                    .filter(|at| {
                        if by_row {
                            inverts(*at, line)
                        } else {
                            inverts(line, *at)
                        }
                    })
                    .fold(0_u128, |word, at| word | 1 << at);
                (0..11).fold(0, |word, copy| word | twelve << (12 * copy))
            })
        };
        let (by_row, by_column) = (period(true), period(false));
        for line in 0..count {
            masked_rows[line] = rows[line] ^ (by_row[line % 12] & row_data[line]);
            masked_columns[line] = columns[line] ^ (by_column[line % 12] & column_data[line]);
        }
        let score = lines(&masked_rows, width)
            + lines(&masked_columns, width)
            + blocks(&masked_rows, width)
            + balance(&masked_rows, width);
        if score < best.0 {
            best = (score, pattern);
        }
    }
    best.1
}

/// The lowest `count` bits.
fn low(count: i16) -> u128 {
    u128::MAX >> (128 - u32::from(count.max(1).unsigned_abs()))
}

/// Rule 1: a run of n ≥ 5 equal modules costs n − 2. Rule 3: dark-light-dark³-light-dark with four
/// light modules on a side costs 40.
fn lines(lines: &[u128], width: i16) -> u32 {
    // a bit of these stays where the pattern begins
    let at = |line: u128, pattern: u128, length: u32| {
        (0..length).fold(u128::MAX, |left, at| {
            let shifted = line >> at;
            left & if pattern >> at & 1 == 1 {
                shifted
            } else {
                !shifted
            }
        })
    };
    lines
        .iter()
        .map(|line| {
            let equal = !(line ^ (line >> 1)) & low(width - 1);
            let fives = equal & (equal >> 1) & (equal >> 2) & (equal >> 3);
            let runs = fives & !(fives << 1);
            let (core, light) = (at(*line, 0b101_1101, 7), at(*line, 0, 4));
            // the eleven modules must all be within the line
            let within = low(width - 10);
            let finders = (core & (light >> 7) & within).count_ones()
                + (light & (core >> 4) & within).count_ones();
            fives.count_ones() + 2 * runs.count_ones() + 40 * finders
        })
        .sum()
}

/// Rule 2: each 2×2 block of one colour costs 3.
fn blocks(rows: &[u128], width: i16) -> u32 {
    rows.windows(2)
        .map(|pair| {
            let (upper, lower) = (pair[0], pair[1]);
            let equal = !(upper ^ (upper >> 1)) & !(lower ^ (lower >> 1)) & !(upper ^ lower);
            3 * (equal & low(width - 1)).count_ones()
        })
        .sum()
}

/// Rule 4: each 5 % away from half dark costs 10.
fn balance(rows: &[u128], width: i16) -> u32 {
    let dark: u32 = rows.iter().map(|row| row.count_ones()).sum();
    let total = u32::from(width.unsigned_abs()).pow(2);
    10 * ((20 * dark).abs_diff(10 * total) / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_are_the_crates_own() {
        // every mask that we compute must be the one that the crate will draw
        let bits = bits::encode_auto(b"https://pay.example.com/1", EcLevel::M).unwrap();
        let version = bits.version();
        let mut canvas = Canvas::new(version, EcLevel::M);
        canvas.draw_all_functional_patterns();
        let (data, correction) =
            ec::construct_codewords(&bits.into_bytes(), version, EcLevel::M).unwrap();
        canvas.draw_data(&data, &correction);
        for (pattern, inverts) in MASKS {
            let mut masked = canvas.clone();
            masked.apply_mask(pattern);
            for y in 0..version.width() {
                for x in 0..version.width() {
                    if let Module::Unmasked(colour) = canvas.get(x, y) {
                        let expected = if inverts(x, y) { !colour } else { colour };
                        assert_eq!(
                            Color::from(masked.get(x, y)),
                            expected,
                            "{pattern:?} {x} {y}"
                        );
                        assert_eq!(inverts(x, y), inverts(x % 12, y % 12));
                    }
                }
            }
        }
    }

    #[test]
    fn rules_of_the_standard() {
        assert_eq!(lines(&[0b11111], 5), 3);
        assert_eq!(lines(&[0b0111_1111], 8), 5);
        assert_eq!(lines(&[0b000_0101_1101], 11), 40);
        assert_eq!(lines(&[0b101_1101_0000], 11), 40);
        assert_eq!(lines(&[0b010_1010_1010], 11), 0);
        assert_eq!(blocks(&[0b011, 0b011], 3), 3);
        assert_eq!(blocks(&[0b111, 0b111, 0b111], 3), 12);
        assert_eq!(balance(&[0b11, 0b11], 2), 100);
        assert_eq!(balance(&[0b11, 0b00], 2), 0);
    }
}
