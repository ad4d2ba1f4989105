#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/units.hpp"
#include "client/cli/commands.hpp"
#include "client/cli/progress.hpp"
#include "client/transfer.hpp"
#include "codec/sha256.hpp"

namespace square::cli {

namespace {

using client::Piece;

constexpr std::uint64_t kSector = 512;
constexpr std::uint32_t kPieceBytes = 1u << 20;

Error errno_error(const std::string& what) {
  const auto code = errno == ENOENT   ? Code::kNotFound
                    : errno == EACCES ? Code::kDenied
                    : errno == ENOSPC ? Code::kNoSpace
                                      : Code::kIo;
  return {code, what + ": " + std::strerror(errno)};
}

class File {
 public:
  // "-" is a standard stream.
  static Result<File> open(const std::string& path, int flags, int standard) {
    if (path == "-") return File(standard, false);
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (fd < 0) return errno_error("open " + path);
    return File(fd, true);
  }
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), owned_(other.owned_) {}
  ~File() {
    if (owned_ && fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  // Its size, or nothing for what is no regular file.
  std::optional<std::uint64_t> regular_size() const {
    struct stat info{};
    if (fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    return static_cast<std::uint64_t>(info.st_size);
  }

 private:
  File(int fd, bool owned) : fd_(fd), owned_(owned) {}
  int fd_;
  bool owned_;
};

// Fills `into` as far as the stream goes.
Result<std::size_t> read_full(int fd, MutableBytes into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const auto got = ::read(fd, into.data() + done, into.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<> write_full(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    const auto put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno_error("write");
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

// Pieces of a stream or file, from volume offset `base` on. A tail that is no whole sector is
// filled up with zeros.
class FileSource {
 public:
  FileSource(int fd, std::optional<std::uint64_t> size, std::uint64_t base, std::uint64_t room,
             bool zeros_are_holes)
      : fd_(fd), size_(size), base_(base), room_(room), zeros_are_holes_(zeros_are_holes) {}

  Result<std::optional<Piece>> next() {
    if (ended_) return std::optional<Piece>();
    if (size_) SQ_TRY(next_hole());
    if (hole_) return std::exchange(hole_, std::nullopt);
    if (size_ && at_ >= *size_) return std::optional<Piece>();
    // Pieces end at multiples of 1 MiB of the volume.
    const auto length = kPieceBytes - (base_ + at_) % kPieceBytes;
    auto data = Buffer::allocate(length);
    if (size_ && lseek(fd_, static_cast<off_t>(at_), SEEK_SET) < 0) return errno_error("seek");
    SQ_TRY(const auto got, read_full(fd_, data.bytes()));
    if (got < length) ended_ = true;
    if (got == 0) return std::optional<Piece>();
    const auto whole = align_up(got, kSector);
    std::memset(data.data() + got, 0, whole - got);
    Piece piece{base_ + at_, whole, false, data.slice(0, whole)};
    at_ += got;
    if (at_ > room_)
      return Error{Code::kInvalid, "the input is larger than the volume (" + size_text(room_) +
                                       "); square volume resize makes it larger"};
    if (zeros_are_holes_ && client::all_zero(piece.data.bytes())) {
      piece.hole = true;
      piece.data = {};
    }
    return std::optional(std::move(piece));
  }
  std::uint64_t read_bytes() const { return at_; }

 private:
  // Sets hole_ when a hole of the file begins here.
  Result<> next_hole() {
    const auto data = lseek(fd_, static_cast<off_t>(at_), SEEK_DATA);
    if (data < 0 && errno != ENXIO) return {};  // a file system that does not know holes
    auto until = data < 0 ? *size_ : static_cast<std::uint64_t>(data);
    until -= until % kSector;
    if (until <= at_) return {};
    hole_ = Piece{base_ + at_, until - at_, true, {}};
    at_ = until;
    return {};
  }

  int fd_;
  std::optional<std::uint64_t> size_;
  std::uint64_t base_, room_;
  bool zeros_are_holes_;
  std::uint64_t at_ = 0;
  bool ended_ = false;
  std::optional<Piece> hole_;
};

Result<> wait_for(std::future<Result<>> future, ProgressLine& line) {
  while (future.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready)
    line.update();
  line.end();
  return future.get();
}

Result<> pump_in(client::Client& client, VolumeId id, FileSource& source,
                 client::Progress& progress, const std::string& what) {
  ProgressLine line(what, progress);
  auto& loop = client.loop();
  return wait_for(client.begin<void>([&, id](client::Core& core) {
    return client::copy_in(loop, core, id, [&source] { return source.next(); }, &progress);
  }),
                  line);
}

Result<> pump_out(client::Client& client, VolumeId id, std::uint64_t offset, std::uint64_t length,
                  const std::string& snapshot, client::Sink sink, client::Progress& progress,
                  const std::string& what) {
  progress.total_bytes = length;
  ProgressLine line(what, progress);
  auto& loop = client.loop();
  return wait_for(client.begin<void>([&, id](client::Core& core) {
    return client::copy_out(loop, core, id, offset, length, snapshot, sink, &progress);
  }),
                  line);
}

// Holes as zeros.
client::Sink stream_sink(int fd) {
  return [fd, zeros = Buffer::zeroed(kPieceBytes)](const Piece& piece) -> Result<> {
    if (!piece.hole) return write_full(fd, piece.data.bytes());
    for (auto left = piece.length; left > 0;) {
      const auto part = std::min<std::uint64_t>(left, kPieceBytes);
      SQ_TRY(write_full(fd, zeros.bytes().first(part)));
      left -= part;
    }
    return {};
  };
}

client::Sink sparse_sink(int fd) {
  return [fd](const Piece& piece) -> Result<> {
    if (lseek(fd, static_cast<off_t>(piece.offset), SEEK_SET) < 0) return errno_error("seek");
    if (piece.hole) return {};
    return write_full(fd, piece.data.bytes());
  };
}

// Restore points are a backup's or a remote's.
Result<> check(const ReadPoint& point) {
  if (point.point.empty()) return {};
  return Error{Code::kUnsupported,
               "this version has no backup and no remote, so there are no restore points; "
               "--snapshot ID reads a snapshot of this node (square snapshot ls)"};
}

}  // namespace

Result<> volume_import(Context& context, const std::string& name, const std::string& file) {
  SQ_TRY(auto* client, context.client());
  SQ_TRY(auto volume, client->open(name));
  SQ_TRY(const auto input, File::open(file, O_RDONLY, STDIN_FILENO));
  const auto size = input.regular_size();
  const auto room = volume.info().size_bytes;
  if (size && *size > room)
    return Error{Code::kInvalid, file + " has " + size_text(*size) + ", the volume " +
                                     size_text(room) + "; square volume resize makes it larger"};
  client::Progress progress;
  progress.total_bytes = size.value_or(0);
  FileSource source(input.fd(), size, 0, room, true);
  SQ_TRY(pump_in(*client, volume.info().id, source, progress, "import " + name));
  SQ_TRY(volume.flush());
  context.show(Json{{"name", name}, {"imported_bytes", source.read_bytes()}});
  return {};
}

Result<> volume_export(Context& context, const std::string& name, const std::string& file,
                       const ReadPoint& point) {
  SQ_TRY(check(point));
  SQ_TRY(auto* client, context.client());
  SQ_TRY(auto volume, client->open(name));
  SQ_TRY(const auto output, File::open(file, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO));
  const auto size = volume.info().size_bytes;
  const bool sparse = file != "-" && output.regular_size().has_value();
  client::Progress progress;
  SQ_TRY(pump_out(*client, volume.info().id, 0, size, point.snapshot,
                  sparse ? sparse_sink(output.fd()) : stream_sink(output.fd()), progress,
                  "export " + name));
  if (sparse && (ftruncate(output.fd(), static_cast<off_t>(size)) != 0 || fsync(output.fd()) != 0))
    return errno_error("finish " + file);
  if (file != "-") context.show(Json{{"name", name}, {"exported_bytes", size}});
  return {};
}

Result<> volume_hash(Context& context, const std::string& name, const ReadPoint& point) {
  SQ_TRY(check(point));
  SQ_TRY(auto* client, context.client());
  SQ_TRY(auto volume, client->open(name));
  codec::Sha256 hash;
  const auto zeros = Buffer::zeroed(kPieceBytes);
  client::Progress progress;
  const client::Sink sink = [&](const Piece& piece) -> Result<> {
    if (!piece.hole) hash.update(piece.data.bytes());
    for (auto left = piece.hole ? piece.length : 0; left > 0;) {
      const auto part = std::min<std::uint64_t>(left, kPieceBytes);
      hash.update(zeros.bytes().first(part));
      left -= part;
    }
    return {};
  };
  SQ_TRY(pump_out(*client, volume.info().id, 0, volume.info().size_bytes, point.snapshot, sink,
                  progress, "hash " + name));
  std::string text;
  for (const auto byte : hash.finish()) {
    constexpr auto digits = "0123456789abcdef";
    text += digits[std::to_integer<unsigned>(byte) >> 4];
    text += digits[std::to_integer<unsigned>(byte) & 15];
  }
  if (context.globals().json) {
    context.show(Json{{"name", name}, {"sha256", text}});
  } else {
    context.say(text);
  }
  return {};
}

Result<> volume_write(Context& context, const std::string& name, std::uint64_t offset) {
  if (offset % kSector != 0) return Error{Code::kInvalid, "--offset must be a multiple of 512"};
  SQ_TRY(auto* client, context.client());
  SQ_TRY(auto volume, client->open(name));
  const auto size = volume.info().size_bytes;
  if (offset > size) return Error{Code::kInvalid, "--offset is past the end of the volume"};
  client::Progress progress;
  FileSource source(STDIN_FILENO, std::nullopt, offset, size - offset, false);
  SQ_TRY(pump_in(*client, volume.info().id, source, progress, "write " + name));
  if (source.read_bytes() % kSector != 0)
    std::fprintf(stderr, "the last sector was filled up with zeros\n");
  context.show(Json{{"name", name}, {"written_bytes", source.read_bytes()}});
  return {};
}

Result<> volume_read(Context& context, const std::string& name, std::uint64_t offset,
                     std::uint64_t length, const ReadPoint& point) {
  if (offset % kSector != 0 || length % kSector != 0)
    return Error{Code::kInvalid, "--offset and --length must be multiples of 512"};
  SQ_TRY(auto* client, context.client());
  SQ_TRY(auto volume, client->open(name));
  const auto size = volume.info().size_bytes;
  if (offset > size || length > size - offset)
    return Error{Code::kInvalid,
                 "the range is past the end of the volume (" + size_text(size) + ")"};
  client::Progress progress;
  return pump_out(*client, volume.info().id, offset, length, point.snapshot,
                  stream_sink(STDOUT_FILENO), progress, "read " + name);
}

Result<> volume_trim(Context& context, const std::string& name, std::uint64_t offset,
                     std::uint64_t length) {
  SQ_TRY(auto* client, context.client());
  SQ_TRY(auto volume, client->open(name));
  SQ_TRY(volume.zero(offset, length));
  context.show(Json{{"name", name}, {"trimmed_bytes", length}});
  return {};
}

}  // namespace square::cli
