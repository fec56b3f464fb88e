//! The verbs: first this, then that. Knows neither SQL nor JSON names nor HTTP status codes.
