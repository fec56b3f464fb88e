//! The page's address out of Klarna's QR picture, for `KLARNA_LINK_SOURCE=qr`. The picture is a
//! stranger's: its size is bounded before it is unpacked.

use std::io::Cursor;

/// More pixels than any QR code needs along one side.
const LARGEST: u32 = 4096;

/// The text of the first readable QR code in a PNG. Slow (milliseconds): not for an async thread.
pub(super) fn read(png: &[u8]) -> Option<String> {
    let mut reader = image::ImageReader::with_format(Cursor::new(png), image::ImageFormat::Png);
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(LARGEST);
    limits.max_image_height = Some(LARGEST);
    limits.max_alloc = Some(128 * 1024 * 1024);
    reader.limits(limits);
    let picture = reader.decode().ok()?.to_luma8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels = picture.as_raw();
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        pixels.get(y * width + x).copied().unwrap_or(u8::MAX)
    });
    prepared
        .detect_grids()
        .into_iter()
        .find_map(|grid| grid.decode().ok())
        .map(|(_, text)| text)
}
