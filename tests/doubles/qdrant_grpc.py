"""The gRPC side of the test double of a Qdrant server: uploads and searches into the same points.

It is no Qdrant. Requests are turned into those of REST by the client library's own conversions, so that both ways
meet the same code.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from doubles.qdrant_points import Points, Refused
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest

_CODES = {400: grpc.StatusCode.INVALID_ARGUMENT, 404: grpc.StatusCode.NOT_FOUND}


class QdrantGrpcDouble:
    """Serves ``points`` on a port of this machine; ``calls`` names what was called, ``api_keys`` what came with it."""

    def __init__(self, points: Points) -> None:
        self.calls: list[str] = []
        self.api_keys: list[str | None] = []
        self.port = 0
        self._points = points
        self._server: Any = None

    def start(self) -> None:
        """Again on the same port, after the first time."""
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
        messages.add_PointsServicer_to_server(_Service(self, self._points), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        """Returns when nothing listens any more."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def __enter__(self) -> "QdrantGrpcDouble":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Service(messages.PointsServicer):  # type: ignore[misc]
    def __init__(self, double: QdrantGrpcDouble, points: Points) -> None:
        self._double = double
        self._points = points

    def Upsert(self, request: Any, context: Any) -> Any:
        self._note("Upsert", context)
        points = [_plain(GrpcToRest.convert_point_struct(point)) for point in request.points]
        assert request.wait
        self._do(context, lambda: self._points.upsert(request.collection_name, {"points": points}))
        result = messages.UpdateResult(operation_id=1, status=messages.UpdateStatus.Completed)
        return messages.PointsOperationResponse(result=result, time=0.0)

    def QueryBatch(self, request: Any, context: Any) -> Any:
        self._note("QueryBatch", context)
        searches = [_plain(GrpcToRest.convert_query_points(query)) for query in request.query_points]
        answers = self._do(context, lambda: self._points.query_batch(request.collection_name, {"searches": searches}))
        return messages.QueryBatchResponse(
            result=[
                messages.BatchResult(
                    result=[
                        messages.ScoredPoint(id=messages.PointId(uuid=point["id"]), score=point["score"], version=0)
                        for point in answer["points"]
                    ]
                )
                for answer in answers
            ],
            time=0.0,
        )

    def _note(self, call: str, context: Any) -> None:
        self._double.calls.append(call)
        self._double.api_keys.append(dict(context.invocation_metadata()).get("api-key"))

    def _do(self, context: Any, step: Any) -> Any:
        try:
            return step()
        except Refused as refused:
            context.abort(_CODES[refused.status], str(refused))


def _plain(model: Any) -> Any:
    return model.model_dump(mode="json", exclude_none=True)
