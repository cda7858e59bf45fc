"""The application: ``uvicorn --factory app.main:create_app``."""

from faceplate.integrations.fastapi import RESPONSES, health_router, install, lifespan
from fastapi import FastAPI

from app import routes
from app.sign_in import SignIn


def create_app() -> FastAPI:
    """Return the application. It opens the database when it starts."""
    app = FastAPI(title="example-service", lifespan=lifespan(), responses=RESPONSES)
    app.state.sign_in = SignIn()
    app.include_router(health_router())
    app.include_router(routes.router)
    install(app)
    return app
