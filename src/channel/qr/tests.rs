use proptest::prelude::*;

use super::*;

const URL: &str = "https://pay.example.com/hpp/sessions/0f6f4b6e-5f9c-4a43-bb7a-0c2f3d1f9a11?token=5H1xq0cT7mJb2vKfYw8ZrN4sPdLgQeU9iAoXyB3C";

fn dimensions(png: &[u8]) -> (u32, u32, u8) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20), png[24])
}

#[test]
fn a_long_url_is_small_exact_and_readable() {
    let look = Look {
        size: 600,
        ..Look::default()
    };
    assert_eq!(URL.len(), 120);
    let picture = png(URL, &look).unwrap();
    assert_eq!(dimensions(&picture), (600, 600, 1));
    assert!(picture.len() <= 1500, "{} bytes", picture.len());
    assert_eq!(read(&picture).as_deref(), Some(URL));
}

#[test]
fn what_does_not_fit_says_what_would() {
    let look = Look {
        size: 50,
        ..Look::default()
    };
    let Err(QrError::SizeTooSmall { needed }) = png(URL, &look) else {
        panic!("fits?")
    };
    assert!(
        png(
            URL,
            &Look {
                size: needed - 1,
                ..look
            }
        )
        .is_err()
    );
    assert!(
        png(
            URL,
            &Look {
                size: needed,
                ..look
            }
        )
        .is_ok()
    );
    assert_eq!(
        png(&"x".repeat(3000), &Look::default()),
        Err(QrError::TextTooLong)
    );
    assert_eq!(
        svg(&"x".repeat(3000), &Look::default()),
        Err(QrError::TextTooLong)
    );
    assert_eq!(
        png(
            "x",
            &Look {
                size: MAX_SIZE + 1,
                ..look
            }
        ),
        Err(QrError::OutOfRange)
    );
    assert_eq!(
        png("x", &Look { margin: 17, ..look }),
        Err(QrError::OutOfRange)
    );
}

#[test]
fn what_is_no_code_reads_as_nothing() {
    assert_eq!(read(b"no png"), None);
    let mut white = Vec::new();
    let mut writer = png::Encoder::new(&mut white, 8, 8).write_header().unwrap();
    writer.write_image_data(&[255; 64]).unwrap();
    drop(writer);
    assert_eq!(read(&white), None);
}

/// Draws the SVG's own path back into pixels, so that the reader sees what a browser would.
fn raster(svg: &str, scale: usize) -> Vec<u8> {
    let edge: usize = svg
        .split("viewBox=\"0 0 ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let path = svg
        .split("fill=\"#000\" d=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let mut pixels = vec![255_u8; (edge * scale).pow(2)];
    for piece in path.split('M').filter(|piece| !piece.is_empty()) {
        let (at, rest) = piece.split_once('h').unwrap();
        let (x, y) = at.split_once(' ').unwrap();
        let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
        let run: usize = rest.split('v').next().unwrap().parse().unwrap();
        for row in y * scale..(y + 1) * scale {
            pixels[row * edge * scale + x * scale..][..run * scale].fill(0);
        }
    }
    let mut out = Vec::new();
    let side = u32::try_from(edge * scale).unwrap();
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&pixels)
        .unwrap();
    out
}

#[test]
fn svg_is_accessible_and_shows_the_same_code() {
    let picture = svg(
        URL,
        &Look {
            margin: 2,
            ..Look::default()
        },
    )
    .unwrap();
    assert!(picture.contains("<title id=\"qr-title\">") && picture.contains("role=\"img\""));
    assert!(!picture.contains(URL));
    assert_eq!(read(&raster(&picture, 4)).as_deref(), Some(URL));
}

#[test]
fn codes_wider_than_a_word_use_the_crates_own_mask() {
    let text = "x".repeat(1700);
    let picture = png(
        &text,
        &Look {
            size: 1024,
            ecc: Ecc::L,
            margin: 4,
        },
    )
    .unwrap();
    assert_eq!(read(&picture), Some(text));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_code_reads_back(
        text in "[ -~]{1,180}",
        size in 280_u32..900,
        ecc in prop::sample::select(vec![Ecc::L, Ecc::M, Ecc::Q, Ecc::H]),
        margin in 2_u32..=16,
    ) {
        let look = Look { size, ecc, margin };
        let picture = png(&text, &look).unwrap();
        prop_assert_eq!(dimensions(&picture), (size, size, 1));
        prop_assert_eq!(read(&picture), Some(text));
    }
}
