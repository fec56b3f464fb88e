//! How a link reaches its buyer: mail, SMS, QR. Knows nothing of links' lives, of the database or of Klarna.
