//! The picture behind `qr_code_url`: the page's own URL as a QR code, a PNG of black and white.

use qrcode::{Color, EcLevel, QrCode};

/// Pixels of a module; the smallest code is still easy to read from a screen.
const MODULE: usize = 8;
/// Modules of quiet zone, as the standard asks.
const QUIET: usize = 4;

/// A PNG of `text`; `None` where it is too long for a QR code.
pub(super) fn png(text: &str) -> Option<Vec<u8>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let side = (width + 2 * QUIET) * MODULE;
    let mut pixels = vec![0xff_u8; side * side];
    for (y, row) in pixels.chunks_exact_mut(side).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let module = (y / MODULE)
                .checked_sub(QUIET)
                .zip((x / MODULE).checked_sub(QUIET));
            let dark = module.is_some_and(|(y, x)| {
                y < width && x < width && colors[y * width + x] == Color::Dark
            });
            if dark {
                *pixel = 0;
            }
        }
    }
    let mut png = Vec::new();
    let side = u32::try_from(side).ok()?;
    let mut encoder = png::Encoder::new(&mut png, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    Some(png)
}
