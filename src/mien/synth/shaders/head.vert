invariant gl_Position;
uniform mat4 clip_from_head;
in vec3 position;
in vec3 normal;
in vec3 exposure;   // how much of the surroundings' light arrives, per colour
in vec3 rest;       // where this vertex is on the neutral head of nobody
in vec2 uv;
in float part;
in float lid;         // 1 on the skin that a blink draws over the eye
in float cover;     // how densely hair grows here
out vec3 v_position, v_normal, v_exposure, v_rest;
out vec2 v_uv;
out float v_cover, v_lid;
flat out int v_part;

uniform vec3 collar;  // height, drop in front, and how pointed the drop is

// How far above the clothes' upper edge a point lies: they hide the skin below it.
float above_collar() {
    float front = max(rest.z + 2.2, 0.0) / length(vec2(rest.x, rest.z + 2.2));
    return rest.y - collar.x + collar.y * pow(front, collar.z) + 0.5;
}

void main() {
    v_position = position; v_normal = normal;
    bend(v_position, v_normal);
    v_exposure = exposure; v_rest = rest; v_uv = uv; v_cover = cover; v_lid = lid;
    v_part = int(part + 0.5);
    gl_ClipDistance[0] = part < 0.5 ? above_collar() : 1.0;
    gl_Position = clip_from_head * vec4(v_position, 1.0);
}
