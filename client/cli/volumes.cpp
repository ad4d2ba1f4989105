#include "base/units.hpp"
#include "client/cli/commands.hpp"
#include "client/cli/shapes.hpp"

namespace square::cli {

using Stub = v1::Control::Stub;

namespace {

const std::vector<std::string> kColumns{"name",         "size_bytes", "used_bytes",
                                        "extent_bytes", "group",      "state"};
const std::vector<std::string> kDeletedColumns{"name",  "id",    "size_bytes",    "used_bytes",
                                               "group", "state", "undelete_until"};

v1::VolumeName named(const std::string& name) {
  v1::VolumeName request;
  request.set_name(name);
  return request;
}

}  // namespace

Result<> volume_create(Context& context, const VolumeCreate& args) {
  SQ_TRY(auto* admin, context.admin());
  v1::CreateVolumeRequest request;
  request.set_name(args.name);
  request.set_size_bytes(args.size_bytes);
  request.set_extent_bytes(args.extent_bytes);
  request.set_group(args.group);
  SQ_TRY(const auto config, context.config());
  request.set_tenant(config->tenant.value);
  SQ_TRY(const auto volume, admin->change(&Stub::CreateVolume, request));
  context.show(shape(volume));
  return {};
}

Result<> volume_ls(Context& context, bool deleted_too) {
  SQ_TRY(auto* admin, context.admin());
  v1::ListVolumesRequest request;
  request.set_deleted_too(deleted_too);
  SQ_TRY(const auto list, admin->look(&Stub::ListVolumes, request));
  context.show(shapes(list.volumes()), deleted_too ? kDeletedColumns : kColumns);
  return {};
}

Result<> volume_show(Context& context, const std::string& name) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto volume, admin->look(&Stub::ShowVolume, named(name)));
  context.show(shape(volume));
  return {};
}

Result<> volume_resize(Context& context, const std::string& name, std::uint64_t size_bytes) {
  SQ_TRY(auto* admin, context.admin());
  v1::ResizeVolumeRequest request;
  request.set_name(name);
  request.set_size_bytes(size_bytes);
  SQ_TRY(const auto volume, admin->change(&Stub::ResizeVolume, request));
  context.show(shape(volume));
  return {};
}

Result<> volume_rm(Context& context, const std::string& name) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto volume, admin->change(&Stub::DeleteVolume, named(name)));
  context.show(
      Json{{"name", name}, {"state", "deleted"}, {"undelete_until", rfc3339(volume.purge_ns())}});
  return {};
}

Result<> volume_purge(Context& context, const std::string& name) {
  SQ_TRY(auto* admin, context.admin());
  v1::ListVolumesRequest request;
  request.set_deleted_too(true);
  SQ_TRY(const auto list, admin->look(&Stub::ListVolumes, request));
  std::string what;
  for (const auto& volume : list.volumes())
    if (volume.name() == name && volume.state() == "deleted")
      what += (what.empty() ? "" : ", ") + ("id " + std::to_string(volume.id())) + " with " +
              size_text(volume.used_bytes()) + " in use";
  if (what.empty())
    return Error{Code::kNotFound,
                 "there is no deleted volume named \"" + name + "\" (square volume ls --deleted)"};
  SQ_TRY(confirm(context,
                 "the deleted volume \"" + name + "\" (" + what +
                     ") will be gone for good: undelete will not bring it back",
                 name));
  SQ_TRY(admin->change(&Stub::PurgeVolume, named(name)));
  context.show(Json{{"name", name}, {"state", "purged"}});
  return {};
}

Result<> volume_undelete(Context& context, const std::string& name) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto volume, admin->change(&Stub::UndeleteVolume, named(name)));
  context.show(shape(volume));
  return {};
}

Result<> snapshot_create(Context& context, const std::vector<std::string>& volumes,
                         const std::string& name) {
  SQ_TRY(auto* admin, context.admin());
  v1::CreateSnapshotRequest request;
  for (const auto& volume : volumes) request.add_volumes(volume);
  request.set_name(name);
  SQ_TRY(const auto snapshot, admin->change(&Stub::CreateSnapshot, request));
  context.show(shape(snapshot));
  return {};
}

Result<> snapshot_ls(Context& context) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto list, admin->look(&Stub::ListSnapshots));
  context.show(shapes(list.snapshots()));
  return {};
}

Result<> snapshot_rm(Context& context, const std::string& id) {
  SQ_TRY(auto* admin, context.admin());
  v1::SnapshotName request;
  request.set_id(id);
  SQ_TRY(admin->change(&Stub::DropSnapshot, request));
  context.show(Json{{"id", id}, {"state", "dropped"}});
  return {};
}

}  // namespace square::cli
