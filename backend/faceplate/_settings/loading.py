"""The reading of settings into a pydantic model that shows no secret in an error."""

from typing import TYPE_CHECKING, Any, NoReturn

from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from faceplate._settings.environment import read_variables
from faceplate._tracebacks import remove_library_frames
from faceplate.errors import UsageError


class LoadedSettings(BaseSettings):
    """Immutable settings, read from arguments, the environment and ``.env``."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    if not TYPE_CHECKING:  # type checkers read the arguments off the fields

        def __init__(self, **values: Any) -> None:
            failure = None
            try:
                super().__init__(**values)
            except Exception as error:  # noqa: BLE001 - raised below, whatever it is
                failure = error
            if failure is not None:
                # Raised outside the handler, without pydantic's frames: they hold the secrets.
                values.clear()
                remove_library_frames(failure)
                raise failure

    def __setattr__(self, name: str, value: object) -> NoReturn:
        # pydantic's own error would show the value.
        raise UsageError(f"Settings are immutable: give {name} when you make them")

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "Settings hold the database password and cannot be pickled;"
            " build them in the process that needs them"
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: the arguments, then the variables."""
        variables = read_variables(settings_cls)
        return init_settings, InitSettingsSource(settings_cls, init_kwargs=variables)
