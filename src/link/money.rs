//! Arithmetic of amounts: whole minor units, products in 128 bit, so that nothing a caller can
//! write overflows. How amounts are printed is not known here.

/// Decimals of a currency by ISO 4217: 2 for GBP, 0 for JPY, 3 for KWD; 2 for what is unknown.
pub fn decimals(currency: &str) -> u32 {
    iso_currency::Currency::from_code(currency)
        .and_then(iso_currency::Currency::exponent)
        .map_or(2, u32::from)
}

/// `quantity · unit_price − discount`.
pub(super) fn total(quantity: i64, unit_price: i64, discount: i64) -> i128 {
    i128::from(quantity) * i128::from(unit_price) - i128::from(discount)
}

/// The tax within `total` at `rate` (percent with two implied decimals), rounded half away from
/// zero: total − total·10000/(10000+rate).
pub(super) fn tax(total: i128, rate: i64) -> i128 {
    let (numerator, divisor) = (total * i128::from(rate), 10_000 + i128::from(rate));
    let magnitude = (2 * numerator.abs() + divisor) / (2 * divisor);
    magnitude * numerator.signum()
}

/// Whether `given` is within ±1 of the unrounded tax, which is what KCO asks for (klarna.md §2.3).
pub(super) fn tax_fits(given: i64, total: i128, rate: i64) -> bool {
    let divisor = 10_000 + i128::from(rate);
    (i128::from(given) * divisor - total * i128::from(rate)).abs() <= divisor
}
