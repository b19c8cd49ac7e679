/* Loaded with LD_PRELOAD: writes every change below a folder to a tape, in the order in which it happened.

   TAPE: the tape's file. TAPE_ROOT: the folder. TAPE_KILL=n: the process is killed before its n-th change.
   What goes to standard output is on the tape too, so that it tells what was acknowledged by when. One lock is
   held around each change and its record. tests/lake/tape.py reads the tape. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, MKDIR, WRITE, RESIZE, SYNC, RENAME, LINK, UNLINK, RMDIR, SAID, MAP };

struct head {
    uint32_t kind, path, other, zero;
    uint64_t inode;
    int64_t offset;
    uint64_t size;
};

static int tape = -1;
static char root[PATH_MAX];
static size_t root_length;
static long kill_at, count;
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

#define REAL(name, result, ...)                                              \
    static result (*real)(__VA_ARGS__);                                      \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("TAPE"), *folder = getenv("TAPE_ROOT"), *at = getenv("TAPE_KILL");
    if (!file || !folder || !realpath(folder, root)) return;
    root_length = strlen(root);
    kill_at = at ? atol(at) : 0;
    int opened = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    tape = (int)syscall(SYS_fcntl, opened, F_DUPFD_CLOEXEC, 900);
    syscall(SYS_close, opened);
}

static void refuse(const char *what) {
    dprintf(2, "tape: %s is not recorded\n", what);
    abort();
}

static int below_root(const char *path) {
    return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below_root(path);
}

static int absolute(int at, const char *name, char *path) {
    char folder[PATH_MAX];
    if (!name || tape < 0) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        if (at == AT_FDCWD ? !getcwd(folder, sizeof folder) : !path_of(at, folder)) return 0;
        if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) return 0;
    }
    if (!below_root(path)) return 0;
    if (strstr(path, "/../") || strstr(path, "/./") || strstr(path, "//")) refuse(path);
    return 1;
}

static uint64_t inode_of(int fd) {
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

static uint64_t inode_at(const char *path) {
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

static void enter(void) {
    pthread_mutex_lock(&lock);
    if (++count == kill_at) kill(getpid(), SIGKILL);
}

static void leave(void) {
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
}

static void note(uint32_t kind, uint64_t inode, int64_t offset, const char *path, const char *other,
                 const void *data, uint64_t size) {
    int kept = errno;
    struct head head = {kind, (uint32_t)strlen(path), other ? (uint32_t)strlen(other) : 0, 0, inode, offset, size};
    struct iovec parts[4] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)other, head.other},
                             {(void *)data, data ? size : 0}};
    ssize_t wanted = (ssize_t)(sizeof head + head.path + head.other + (data ? size : 0));
    if (syscall(SYS_writev, tape, parts, 4) != wanted) refuse("a change on a full disk");
    errno = kept;
}

/* Opening */

static int open_noting(int (*really)(int, const char *, int, mode_t), int at, const char *name, int flags,
                       mode_t mode) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !absolute(at, name, path)) return really(at, name, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE) refuse("O_TMPFILE");
    enter();
    uint64_t before = inode_at(path);
    int fd = really(at, name, flags, mode);
    if (fd >= 0 && !before) note(CREATE, inode_of(fd), 0, path, NULL, NULL, 0);
    if (fd >= 0 && before && (flags & O_TRUNC)) note(RESIZE, before, 0, path, NULL, NULL, 0);
    leave();
    return fd;
}

static int really_openat(int at, const char *name, int flags, mode_t mode) {
    REAL("openat64", int, int, const char *, int, ...);
    return real(at, name, flags, mode);
}

#define MODE(flags)                                                          \
    mode_t mode = 0;                                                         \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                   \
        va_list more;                                                        \
        va_start(more, flags);                                               \
        mode = va_arg(more, mode_t);                                         \
        va_end(more);                                                        \
    }

int open(const char *name, int flags, ...) {
    MODE(flags) return open_noting(really_openat, AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    MODE(flags) return open_noting(really_openat, AT_FDCWD, name, flags, mode);
}
int openat(int at, const char *name, int flags, ...) {
    MODE(flags) return open_noting(really_openat, at, name, flags, mode);
}
int openat64(int at, const char *name, int flags, ...) {
    MODE(flags) return open_noting(really_openat, at, name, flags, mode);
}
int creat(const char *name, mode_t mode) {
    return open_noting(really_openat, AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* Writing */

static int is_noted(int fd, char *path) { return tape >= 0 && (fd == 1 || path_of(fd, path)); }

static int64_t place_of(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags & O_APPEND) {
        struct stat status;
        return fstat(fd, &status) ? 0 : status.st_size;
    }
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL("write", ssize_t, int, const void *, size_t);
    char path[PATH_MAX] = "";
    if (!is_noted(fd, path)) return real(fd, data, size);
    enter();
    int64_t offset = fd == 1 ? 0 : place_of(fd);
    ssize_t done = real(fd, data, size);
    if (done > 0) note(fd == 1 ? SAID : WRITE, inode_of(fd), offset, path, NULL, data, (uint64_t)done);
    leave();
    return done;
}

static ssize_t pwrite_noting(int fd, const void *data, size_t size, off_t offset) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off_t);
    char path[PATH_MAX] = "";
    if (!is_noted(fd, path)) return real(fd, data, size, offset);
    enter();
    ssize_t done = real(fd, data, size, offset);
    if (done > 0) note(WRITE, inode_of(fd), offset, path, NULL, data, (uint64_t)done);
    leave();
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite_noting(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return pwrite_noting(fd, data, size, offset); }

static ssize_t in_parts(int fd, const struct iovec *parts, int number, off_t offset, int placed) {
    ssize_t total = 0;
    for (int n = 0; n < number; n++) {
        if (!parts[n].iov_len) continue;
        ssize_t done = placed ? pwrite_noting(fd, parts[n].iov_base, parts[n].iov_len, offset + total)
                              : write(fd, parts[n].iov_base, parts[n].iov_len);
        if (done < 0) return total ? total : done;
        total += done;
        if ((size_t)done < parts[n].iov_len) break;
    }
    return total;
}
ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    char path[PATH_MAX];
    return is_noted(fd, path) ? in_parts(fd, parts, number, 0, 0) : real(fd, parts, number);
}
ssize_t pwritev(int fd, const struct iovec *parts, int number, off_t offset) {
    REAL("pwritev64", ssize_t, int, const struct iovec *, int, off_t);
    char path[PATH_MAX];
    return is_noted(fd, path) ? in_parts(fd, parts, number, offset, 1) : real(fd, parts, number, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int number, off_t offset) {
    return pwritev(fd, parts, number, offset);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size, unsigned flags) {
    REAL("copy_file_range", ssize_t, int, off64_t *, int, off64_t *, size_t, unsigned);
    char path[PATH_MAX];
    if (is_noted(to, path)) refuse("copy_file_range");
    return real(from, from_offset, to, to_offset, size, flags);
}
static ssize_t send_noting(int to, int from, off_t *offset, size_t size) {
    REAL("sendfile64", ssize_t, int, int, off_t *, size_t);
    char path[PATH_MAX];
    if (is_noted(to, path)) refuse("sendfile");
    return real(to, from, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return send_noting(to, from, offset, size); }
ssize_t sendfile64(int to, int from, off_t *offset, size_t size) { return send_noting(to, from, offset, size); }

static void *map_noting(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    REAL("mmap64", void *, void *, size_t, int, int, int, off_t);
    char path[PATH_MAX];
    if (fd >= 0 && (access & PROT_WRITE) && (flags & MAP_SHARED) && tape >= 0 && path_of(fd, path))
        note(MAP, inode_of(fd), 0, path, NULL, NULL, 0);
    return real(at, size, access, flags, fd, offset);
}
void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    return map_noting(at, size, access, flags, fd, offset);
}
void *mmap64(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    return map_noting(at, size, access, flags, fd, offset);
}

/* Sizes */

static int resize_noting(int fd, off_t size) {
    REAL("ftruncate64", int, int, off_t);
    char path[PATH_MAX];
    if (!is_noted(fd, path)) return real(fd, size);
    enter();
    int failed = real(fd, size);
    if (!failed) note(RESIZE, inode_of(fd), size, path, NULL, NULL, 0);
    leave();
    return failed;
}
int ftruncate(int fd, off_t size) { return resize_noting(fd, size); }
int ftruncate64(int fd, off_t size) { return resize_noting(fd, size); }

static int allocate_noting(int fd, off_t offset, off_t size) {
    REAL("posix_fallocate64", int, int, off_t, off_t);
    char path[PATH_MAX];
    if (!is_noted(fd, path)) return real(fd, offset, size);
    enter();
    struct stat before, after;
    fstat(fd, &before);
    int failed = real(fd, offset, size);
    fstat(fd, &after);
    if (after.st_size != before.st_size) note(RESIZE, inode_of(fd), after.st_size, path, NULL, NULL, 0);
    leave();
    return failed;
}
int posix_fallocate(int fd, off_t offset, off_t size) { return allocate_noting(fd, offset, size); }
int posix_fallocate64(int fd, off_t offset, off_t size) { return allocate_noting(fd, offset, size); }

static int fallocate_refusing(int fd, int how, off_t offset, off_t size) {
    REAL("fallocate64", int, int, int, off_t, off_t);
    char path[PATH_MAX];
    if (is_noted(fd, path)) refuse("fallocate");
    return real(fd, how, offset, size);
}
int fallocate(int fd, int how, off_t offset, off_t size) { return fallocate_refusing(fd, how, offset, size); }
int fallocate64(int fd, int how, off_t offset, off_t size) { return fallocate_refusing(fd, how, offset, size); }

/* Bringing to disk */

#define SYNCING(name)                                                        \
    int name(int fd) {                                                       \
        REAL(#name, int, int);                                               \
        char path[PATH_MAX];                                                 \
        if (!is_noted(fd, path)) return real(fd);                            \
        enter();                                                             \
        int failed = real(fd);                                               \
        if (!failed) note(SYNC, inode_of(fd), 0, path, NULL, NULL, 0);       \
        leave();                                                             \
        return failed;                                                       \
    }
SYNCING(fsync)
SYNCING(fdatasync)

/* Names */

static int rename_noting(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    REAL("renameat2", int, int, const char *, int, const char *, unsigned);
    char path[PATH_MAX], other[PATH_MAX];
    int noted = absolute(from_at, from, path);
    if (absolute(to_at, to, other) != noted) refuse("a rename in or out");
    if (!noted) return real(from_at, from, to_at, to, flags);
    if (flags & ~1u) refuse("an exchange of names");
    enter();
    uint64_t inode = inode_at(path);
    int failed = real(from_at, from, to_at, to, flags);
    if (!failed) note(RENAME, inode, 0, path, other, NULL, 0);
    leave();
    return failed;
}
int rename(const char *from, const char *to) { return rename_noting(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return rename_noting(from_at, from, to_at, to, 0);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return rename_noting(from_at, from, to_at, to, flags);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    REAL("linkat", int, int, const char *, int, const char *, int);
    char path[PATH_MAX], other[PATH_MAX];
    int noted = absolute(from_at, from, path);
    if (absolute(to_at, to, other) != noted) refuse("a link in or out");
    if (!noted) return real(from_at, from, to_at, to, flags);
    enter();
    int failed = real(from_at, from, to_at, to, flags);
    if (!failed) note(LINK, inode_at(other), 0, path, other, NULL, 0);
    leave();
    return failed;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *name, int flags) {
    REAL("unlinkat", int, int, const char *, int);
    char path[PATH_MAX];
    if (!absolute(at, name, path)) return real(at, name, flags);
    enter();
    int failed = real(at, name, flags);
    if (!failed) note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, path, NULL, NULL, 0);
    leave();
    return failed;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    struct stat status;
    return unlinkat(AT_FDCWD, name, !lstat(name, &status) && S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0);
}

int mkdirat(int at, const char *name, mode_t mode) {
    REAL("mkdirat", int, int, const char *, mode_t);
    char path[PATH_MAX];
    if (!absolute(at, name, path)) return real(at, name, mode);
    enter();
    int failed = real(at, name, mode);
    if (!failed) note(MKDIR, inode_at(path), 0, path, NULL, NULL, 0);
    leave();
    return failed;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int symlinkat(const char *target, int at, const char *name) {
    REAL("symlinkat", int, const char *, int, const char *);
    char path[PATH_MAX];
    if (absolute(at, name, path)) refuse("a symbolic link");
    return real(target, at, name);
}
int symlink(const char *target, const char *name) { return symlinkat(target, AT_FDCWD, name); }
