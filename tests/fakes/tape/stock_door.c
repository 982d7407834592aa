/* Lets a program that knows nothing of it use a simulated tape drive: what it asks of a file named
 * in a directory with a socket "door" in it goes through that door, see stock_door.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mtio.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { OPEN = 1, READ, WRITE, IOCTL, CLOSE };
enum { MAX_FD = 1024 };

struct question { uint32_t what; uint32_t size; int64_t number; };
struct answer { int32_t error; uint32_t size; int64_t result; };

/* the process that opened it: a child that closes what it inherited says nothing */
static pid_t through_door[MAX_FD];

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static int all(int fd, void *data, size_t size, int sending)
{
    char *at = data;
    while (size) {
        ssize_t done = sending ? send(fd, at, size, MSG_NOSIGNAL) : recv(fd, at, size, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        at += done;
        size -= done;
    }
    return 0;
}

/* what comes back goes to "in", at most "room" bytes */
static int64_t ask(int fd, int what, int64_t number, const void *out, size_t size, void *in,
                   size_t room)
{
    struct question question = {what, size, number};
    struct answer answer;
    if (all(fd, &question, sizeof question, 1) || (size && all(fd, (void *) out, size, 1))
        || all(fd, &answer, sizeof answer, 0) || answer.size > room
        || (answer.size && all(fd, in, answer.size, 0))) {
        errno = ENXIO;
        return -1;
    }
    errno = answer.error;
    return answer.error ? -1 : answer.result;
}

static int open_through(const char *path, int flags)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat facts;
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/door", path);
    if (length >= (int) sizeof address.sun_path || stat(address.sun_path, &facts)
        || !S_ISSOCK(facts.st_mode))
        return -2;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (fd >= MAX_FD || connect(fd, (struct sockaddr *) &address, sizeof address)) {
        REAL(close)(fd);
        errno = ENXIO;
        return -1;
    }
    if (ask(fd, OPEN, flags, NULL, 0, NULL, 0) < 0) {
        int error = errno;
        REAL(close)(fd);
        errno = error;
        return -1;
    }
    through_door[fd] = getpid();
    return fd;
}

static int is_drive(int fd)
{
    return fd >= 0 && fd < MAX_FD && through_door[fd] && through_door[fd] == getpid();
}

#define OPENING(name)                                             \
    int name(const char *path, int flags, ...)                    \
    {                                                             \
        va_list more;                                             \
        va_start(more, flags);                                    \
        mode_t mode = va_arg(more, mode_t);                       \
        va_end(more);                                             \
        int fd = open_through(path, flags);                       \
        return fd == -2 ? REAL(name)(path, flags, mode) : fd;     \
    }
OPENING(open)
OPENING(open64)

/* what open becomes where the compiler fortifies */
#define FORTIFIED(name)                                \
    int name(const char *path, int flags);             \
    int name(const char *path, int flags)              \
    {                                                  \
        int fd = open_through(path, flags);            \
        return fd == -2 ? REAL(name)(path, flags) : fd; \
    }
FORTIFIED(__open_2)
FORTIFIED(__open64_2)

ssize_t read(int fd, void *data, size_t size)
{
    return is_drive(fd) ? ask(fd, READ, size, NULL, 0, data, size) : REAL(read)(fd, data, size);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return is_drive(fd) ? ask(fd, WRITE, size, data, size, NULL, 0) : REAL(write)(fd, data, size);
}

int fcntl64(int fd, int command, ...)
{
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    /* the door's socket always blocks, and what it was opened with does not matter */
    return is_drive(fd) && command == F_SETFL ? 0 : REAL(fcntl64)(fd, command, argument);
}

int fcntl(int fd, int command, ...)
{
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    return is_drive(fd) && command == F_SETFL ? 0 : REAL(fcntl)(fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (!is_drive(fd))
        return REAL(ioctl)(fd, request, argument);
    size_t size = _IOC_SIZE(request);
    return ask(fd, IOCTL, request, argument, size, argument, size);
}

int close(int fd)
{
    int result = 0, error = 0;
    if (is_drive(fd)) {
        result = ask(fd, CLOSE, 0, NULL, 0, NULL, 0) < 0 ? -1 : 0;
        error = errno;
        through_door[fd] = 0;
        REAL(close)(fd);
        errno = error;
        return result;
    }
    return REAL(close)(fd);
}
