//! A text as a QR code, as PNG of an exact size or as SVG, and back. Knows only text and pixels.

mod matrix;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fmt::Write as _;
use std::io::Cursor;

use matrix::Matrix;

/// How much damage a code survives: 7, 15, 25, 30 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Ecc {
    L,
    #[default]
    M,
    Q,
    H,
}

impl std::str::FromStr for Ecc {
    type Err = ();
    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "L" => Ok(Ecc::L),
            "M" => Ok(Ecc::M),
            "Q" => Ok(Ecc::Q),
            "H" => Ok(Ecc::H),
            _ => Err(()),
        }
    }
}

/// How a code looks (`contract.md`, Shapes: QR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Edge of the picture in pixels, quiet zone included.
    pub size: u32,
    /// Error correction.
    pub ecc: Ecc,
    /// Quiet zone in modules, 0..16. Scanners want 4.
    pub margin: u32,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            size: 512,
            ecc: Ecc::M,
            margin: 4,
        }
    }
}

/// The largest edge that is drawn, in pixels.
pub const MAX_SIZE: u32 = 4096;
/// The widest quiet zone, in modules.
pub const MAX_MARGIN: u32 = 16;

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QrError {
    /// The text is longer than a QR code of this error correction holds.
    TextTooLong,
    /// A module would be smaller than a pixel; the picture needs at least this edge.
    SizeTooSmall {
        /// In pixels.
        needed: u32,
    },
    /// The edge is over [`MAX_SIZE`] or the margin over [`MAX_MARGIN`].
    OutOfRange,
    /// The encoder failed.
    Encode(String),
}

impl fmt::Display for QrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QrError::TextTooLong => {
                f.write_str("draw QR code: the text does not fit; lower the error correction")
            }
            QrError::SizeTooSmall { needed } => write!(
                f,
                "draw QR code: a module would be smaller than a pixel; ask for at least {needed} pixels"
            ),
            QrError::OutOfRange => write!(
                f,
                "draw QR code: size is at most {MAX_SIZE} pixels, margin at most {MAX_MARGIN} modules"
            ),
            QrError::Encode(cause) => write!(f, "draw QR code: {cause}"),
        }
    }
}

impl std::error::Error for QrError {}

/// Where the modules lie in a picture of `look.size` pixels.
struct Grid {
    /// Pixels per module.
    scale: u32,
    /// Pixels of white left of and above the first module.
    offset: u32,
}

impl Grid {
    /// Modules are whole pixels, so that edges stay sharp; what remains becomes quiet zone.
    fn of(matrix: &Matrix, look: &Look) -> Result<Self, QrError> {
        let modules = matrix.width() + 2 * look.margin;
        let scale = look.size / modules;
        if scale == 0 {
            return Err(QrError::SizeTooSmall { needed: modules });
        }
        Ok(Self {
            scale,
            offset: (look.size - matrix.width() * scale) / 2,
        })
    }
}

fn checked(text: &str, look: &Look) -> Result<Matrix, QrError> {
    if look.size > MAX_SIZE || look.margin > MAX_MARGIN {
        return Err(QrError::OutOfRange);
    }
    Matrix::of(text, look.ecc)
}

/// `text` as a 1-bit PNG of exactly `look.size` by `look.size` pixels.
pub fn png(text: &str, look: &Look) -> Result<Vec<u8>, QrError> {
    let matrix = checked(text, look)?;
    let grid = Grid::of(&matrix, look)?;
    let mut out = Vec::with_capacity(2048);
    let mut encoder = png::Encoder::new(&mut out, look.size, look.size);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    // Measured with 120 characters at 600 pixels: repeated rows are long matches without any filter
    // (1.2 kB), while Up also turns the rows that differ into noise (1.8 kB). Level 9 saves another
    // tenth for twice the time. The compression must be set first: setting it resets the filter.
    encoder.set_deflate_compression(png::DeflateCompression::Level(3));
    encoder.set_filter(png::Filter::NoFilter);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels(&matrix, &grid, look.size)))
        .map_err(|cause| QrError::Encode(cause.to_string()))?;
    Ok(out)
}

/// Rows of bits, 1 = white, each row padded to a byte.
fn pixels(matrix: &Matrix, grid: &Grid, size: u32) -> Vec<u8> {
    let stride = size.div_ceil(8) as usize;
    let mut out = vec![0xff; stride * size as usize];
    for y in 0..matrix.width() {
        let top = (grid.offset + y * grid.scale) as usize * stride;
        for x in 0..matrix.width() {
            if matrix.dark(x, y) {
                let left = grid.offset + x * grid.scale;
                for pixel in left..left + grid.scale {
                    out[top + pixel as usize / 8] &= !(0x80 >> (pixel % 8));
                }
            }
        }
        for copy in 1..grid.scale as usize {
            out.copy_within(top..top + stride, top + copy * stride);
        }
    }
    out
}

/// `text` as an SVG picture that any size keeps crisp. `look.size` is its natural size.
pub fn svg(text: &str, look: &Look) -> Result<String, QrError> {
    let matrix = checked(text, look)?;
    let (width, margin, size) = (matrix.width(), look.margin, look.size);
    let edge = width + 2 * margin;
    // The title is what a screen reader says: the text itself is a URL nobody wants read aloud.
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 {edge} {edge}" role="img" aria-labelledby="qr-title" shape-rendering="crispEdges"><title id="qr-title">QR code of the payment link</title><path fill="#fff" d="M0 0h{edge}v{edge}H0z"/><path fill="#000" d=""##
    );
    for y in 0..width {
        let mut x = 0;
        while x < width {
            let run = (x..width).take_while(|at| matrix.dark(*at, y)).count();
            if run == 0 {
                x += 1;
                continue;
            }
            // writing to a String cannot fail
            let _ = write!(out, "M{} {}h{run}v1h-{run}z", x + margin, y + margin);
            x += u32::try_from(run).unwrap_or(width);
        }
    }
    out.push_str("\"/></svg>\n");
    Ok(out)
}

/// The text of the first QR code in a PNG; absent where there is none, or the picture is no PNG
/// of bearable size.
pub fn read(png: &[u8]) -> Option<String> {
    let mut reader = image::ImageReader::with_format(Cursor::new(png), image::ImageFormat::Png);
    let mut limits = image::Limits::default();
    // a few kilobytes may claim to be gigapixels
    limits.max_image_width = Some(MAX_SIZE);
    limits.max_image_height = Some(MAX_SIZE);
    reader.limits(limits);
    let picture = reader.decode().ok()?.into_luma8();
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(
        picture.width() as usize,
        picture.height() as usize,
        // both indices are within the picture that rqrr was told of
        |x, y| picture.as_raw()[y * picture.width() as usize + x],
    );
    prepared
        .detect_grids()
        .into_iter()
        .find_map(|grid| grid.decode().ok().map(|(_, text)| text))
}
