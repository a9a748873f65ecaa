"""What the gateway tells integrators about itself: start page, API docs, OpenAPI, examples and the page of each error."""
