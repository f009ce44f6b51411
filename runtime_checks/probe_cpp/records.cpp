#include "records.hpp"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>

#include "failure.hpp"

namespace probe {

// The library would write `null` for them.
static void require_finite(const Json& value) {
    if (value.is_number_float() && !std::isfinite(value.get<double>()))
        throw Failure("ValueError", "a number of this record is not finite");
    if (value.is_structured())
        for (const Json& each : value) require_finite(each);
}

Records::Records() : out_(dup(1)) {
    dup2(2, 1);
}

void Records::emit(const std::string& record, const Json& fields) {
    require_finite(fields);
    Json whole = {{"protocol", PROTOCOL}, {"record", record}};
    whole.update(fields);
    const bool ascii = true;
    // A message may quote a file name that is no UTF-8: what cannot be spelled is replaced.
    const std::string line = whole.dump(-1, ' ', ascii, Json::error_handler_t::replace) + "\n";
    for (size_t written = 0; written < line.size();) {
        const ssize_t count = write(out_, line.data() + written, line.size() - written);
        if (count < 0 && errno != EINTR) throw Failure("OSError", std::string("cannot write: ") + std::strerror(errno));
        if (count > 0) written += static_cast<size_t>(count);
    }
}

void Records::progress(const std::string& step, long done, long of) {
    emit("progress", {{"step", step}, {"done", done}, {"of", of}});
}

}  // namespace probe
