"""The structured concurrency of Python 3.11 on 3.10: TaskGroup and timeout from here, ExceptionGroup likewise."""

import sys

if sys.version_info >= (3, 11):
    from asyncio import TaskGroup, timeout
    from builtins import BaseExceptionGroup
else:
    from exceptiongroup import BaseExceptionGroup
    from taskgroup import TaskGroup, timeout

__all__ = ["BaseExceptionGroup", "TaskGroup", "timeout"]
