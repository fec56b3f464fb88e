//! Resources that answer 405 with `Allow`, and remember what they take, so that a test can compare
//! the OpenAPI document with the truth.

use actix_web::dev::HttpServiceFactory;
use actix_web::http::Method;
use actix_web::{Handler, Resource, Route, guard, web};

use super::problem::Problem;

/// One address with the methods that it takes.
pub struct Address {
    resource: Resource,
    methods: Vec<Method>,
    #[cfg(test)]
    path: &'static str,
}

/// An address that takes nothing yet.
pub fn at(path: &'static str) -> Address {
    Address {
        resource: web::resource(path),
        methods: Vec::new(),
        #[cfg(test)]
        path,
    }
}

impl Address {
    /// GET, and HEAD for the same without a body.
    #[must_use]
    pub fn get<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: actix_web::Responder + 'static,
    {
        let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
        self.route(&[Method::GET, Method::HEAD], route.to(handler))
    }

    /// POST.
    #[must_use]
    pub fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: actix_web::Responder + 'static,
    {
        self.route(&[Method::POST], web::post().to(handler))
    }

    /// DELETE.
    #[must_use]
    pub fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: actix_web::Responder + 'static,
    {
        self.route(&[Method::DELETE], web::delete().to(handler))
    }

    fn route(mut self, methods: &[Method], route: Route) -> Self {
        self.methods.extend_from_slice(methods);
        self.resource = self.resource.route(route);
        self
    }

    /// What it takes.
    #[cfg(test)]
    pub fn takes(&self) -> (&'static str, &[Method]) {
        (self.path, &self.methods)
    }

    /// The finished resource.
    pub fn build(self) -> impl HttpServiceFactory + 'static {
        let allow: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let allow = allow.join(", ");
        self.resource.default_service(web::to(move || {
            let problem = Problem::not_allowed(&allow);
            async move { Err::<&str, Problem>(problem) }
        }))
    }
}
