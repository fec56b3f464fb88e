
mod outside;
