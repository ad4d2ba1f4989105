#include <catch2/catch.hpp>

#include "client/cli/process.hpp"
#include "daemon/http_server.hpp"
#include "daemon/metrics.hpp"

using namespace square;
using namespace square::daemon;

TEST_CASE("a request line is a path without its query, and only GET") {
  CHECK(http_path("GET /metrics HTTP/1.1\r\n\r\n").value() == "/metrics");
  CHECK(http_path("GET /readyz?verbose HTTP/1.0\r\n\r\n").value() == "/readyz");
  CHECK(http_path("POST /metrics HTTP/1.1\r\n\r\n").code() == Code::kUnsupported);
  for (const auto* bad : {"", "GET", "GET /", "GET / SPDY/3\r\n", "\x16\x03\x01"})
    CHECK(http_path(bad).code() == Code::kInvalid);
}

TEST_CASE("the server answers on the port that it chose, and a taken port is told") {
  const auto server =
      HttpServer::start("127.0.0.1:0", [](const std::string& path) {
        return path == "/readyz" ? HttpReply{200, "ready\n"} : HttpReply{404, "no\n"};
      }).value();
  CHECK(cli::http_status(server->address(), "/readyz") == 200);
  CHECK(cli::http_status(server->address(), "/other") == 404);
  CHECK(HttpServer::start(server->address(), {}).code() == Code::kBusy);
  CHECK(HttpServer::start("localhost", {}).code() == Code::kInvalid);
  CHECK(HttpServer::start("localhost:80", {}).code() == Code::kInvalid);
}

TEST_CASE("metrics are Prometheus text: counters end in _total, labels are escaped") {
  CHECK(metrics_text({{"square_writes_total", 5}, {"square_start_seconds", 0.25}}) ==
        "# TYPE square_writes_total counter\nsquare_writes_total 5\n"
        "# TYPE square_start_seconds gauge\nsquare_start_seconds 0.25\n");
  pool::DiskStatus disk;
  disk.path = "/dev/a\"b";
  disk.size_bytes = 7;
  const auto text = disk_metrics_text({disk});
  CHECK_THAT(text, Catch::Contains("square_disk_size_bytes{slot=\"0\"") &&
                       Catch::Contains("path=\"/dev/a\\\"b\"") && Catch::Contains("} 7\n"));
  CHECK(process_use().resident_bytes > 0);
}
